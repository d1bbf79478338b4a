"""Calls of operators, and what is left of them in the audit."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from headrace.testing import Engine
from headrace.web.auth.identity import Scope
from tests.web.pipes import PIPELINES
from tests.web.serving import SETTINGS, Api, serve, who

ROOT = who("ops", "root", Scope.OPERATOR)
WHY = {"reason": "ticket 4711"}
NOBODY = "0192f1e2-1234-7abc-8def-001122334455"


@contextlib.asynccontextmanager
async def serve_operators(server: str) -> AsyncIterator[Api]:
    """The API with its routes for operators."""
    settings = SETTINGS.model_copy(update={"admin_api": True})
    engine = Engine(PIPELINES, server=server, settings=settings)
    async with engine, serve(engine) as running:
        yield running


async def call(api: Api, method: str, path: str, status: int = 200, **more: Any) -> Any:  # noqa: ANN401
    client = await api.client(ROOT)
    given = {"params": {**WHY, **more}} if method != "POST" else {"json": {**WHY, **more}}
    answer = await client.request(method, f"/v1/admin{path}", **given)
    assert answer.status_code == status, answer.text
    return answer.json()


async def entries(api: Api) -> list[dict[str, Any]]:
    """The audit, the first first, but for the keys that the tests make and this look."""
    found = (await call(api, "GET", "/audit"))[1:]
    return [entry for entry in found[::-1] if entry["actor"] != "tests"]


async def audited(api: Api) -> list[tuple[str, str]]:
    """Actions and targets of the audit."""
    found = await entries(api)
    assert all(entry["reason"] == WHY["reason"] and entry["request_id"] for entry in found)
    return [
        (entry["action"], entry["target"]) for entry in found if entry["action"] != "audit.list"
    ]


async def actor(api: Api) -> str:
    """Who the operator is in the audit."""
    [name] = {entry["actor"] for entry in await entries(api) if entry["action"] != "audit.list"}
    return str(name)
