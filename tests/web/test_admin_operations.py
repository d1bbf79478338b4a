"""What operators see of operations that jobs share, and how they free a key."""

from __future__ import annotations

import uuid

from headrace.reliability.operations import KEEP
from headrace.store.idempotency import Wanted, begin_operation, complete_operation
from headrace.testing import Engine
from tests.web.administering import audited, call, serve_operators

JOB = uuid.UUID("0192f1e2-1234-7abc-8def-001122334455")


async def begin(engine: Engine, key: str, tenant: str = "acme") -> int:
    wanted = Wanted(tenant=tenant, key=key, operation="charge", input_hash=b"\1", job=JOB)
    async with engine.connection() as connection:
        return (await begin_operation(connection, wanted, uuid.uuid4())).token


async def test_operations_are_listed_and_forgotten(database_server: str) -> None:
    async with serve_operators(database_server) as api:
        token = await begin(api.engine, "order/42")
        await begin(api.engine, "order/43", "globex")
        [one] = await call(api, "GET", "/operations", tenant="acme", job=str(JOB))
        assert (one["key"], one["state"], one["job_id"]) == ("order/42", "pending", str(JOB))
        assert (one["input_hash"], "output" in one) == ("01", False)
        given = {"tenant": "acme", "key": "order/42"}
        refused = await call(api, "POST", "/operations/forget", 409, **given)
        assert f"in the hands of job {JOB}" in refused["detail"]
        async with api.engine.connection() as connection:
            await complete_operation(connection, "acme", "order/42", token, keep=KEEP, output="1")
        [one] = await call(api, "GET", "/operations", state="completed")
        assert one["expires_at"] is not None
        gone = await call(api, "POST", "/operations/forget", **given)
        assert gone == {**given, "state": "completed"}
        await call(api, "POST", "/operations/forget", 404, **given)
        forced = {"tenant": "globex", "key": "order/43", "force": True}
        assert (await call(api, "POST", "/operations/forget", **forced))["state"] == "pending"
        assert await call(api, "GET", "/operations") == []
        acts = [act for act in await audited(api) if act[0] == "operation.forget"]
        assert acts == [
            ("operation.forget", "acme/order/42"),
            ("operation.forget", "globex/order/43"),
        ]
