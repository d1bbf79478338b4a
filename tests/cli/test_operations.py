"""`headrace operations`."""

from __future__ import annotations

import uuid

import pytest

from headrace.reliability.operations import KEEP
from headrace.store.audit import list_actions
from headrace.store.idempotency import Wanted, begin_operation, complete_operation
from headrace.store.pool import connect
from tests.cli.conftest import Headrace

JOB = uuid.UUID("0192f1e2-1234-7abc-8def-001122334455")


async def begin(database: str, key: str, *, is_done: bool) -> None:
    wanted = Wanted(tenant="default", key=key, operation="charge", input_hash=b"\1", job=JOB)
    connection = await connect(database)
    seen = await begin_operation(connection, wanted, uuid.uuid4())
    if is_done:
        await complete_operation(
            connection, "default", key, seen.token, keep=KEEP, output='"receipt 1"'
        )
    await connection.close()


class TestOperations:
    async def test_they_are_listed_by_job_shown_and_forgotten(
        self, headrace: Headrace, database: str
    ) -> None:
        await begin(database, "order-42", is_done=True)
        await begin(database, "order-43", is_done=False)
        listed = (await headrace("operations", "list", "--job", str(JOB), "--json")).json()
        assert {one["key"]: one["state"] for one in listed} == {
            "order-42": "completed",
            "order-43": "pending",
        }
        table = await headrace("operations", "list", "--state", "pending")
        assert ("order-43" in table.out, "order-42" in table.out) == (True, False)
        other = await headrace("operations", "list", "--job", str(uuid.uuid4()))
        assert (other.code, other.out) == (0, "")
        assert '"receipt 1"' in (await headrace("operations", "show", "order-42")).out
        gone = await headrace("operations", "forget", "order-42", "--reason", "refunded")
        assert gone.out == "order-42 is forgotten; it was completed\n"
        held = await headrace("operations", "forget", "order-43")
        assert (held.code, "in the hands of job" in held.err) == (23, True)
        assert (await headrace("operations", "forget", "order-43", "--force")).code == 0
        connection = await connect(database)
        acts = await list_actions(connection)
        await connection.close()
        assert [(act.action, act.target, act.reason) for act in acts] == [
            ("operation.forget", "default/order-43", None),
            ("operation.forget", "default/order-42", "refunded"),
        ]

    @pytest.mark.parametrize(
        ("arguments", "code", "says"),
        [
            (("show", "none"), 22, "no operation 'none' of tenant 'default'"),
            (("forget", "none"), 22, "no operation 'none'"),
            (("list", "--state", "running"), 20, "pending, completed, failed"),
            (("list", "--job", "none"), 22, "no job none"),
        ],
    )
    async def test_what_cannot_be_is_told(
        self, headrace: Headrace, arguments: tuple[str, ...], code: int, says: str
    ) -> None:
        refused = await headrace("operations", *arguments)
        assert (refused.code, says in refused.err) == (code, True), refused
