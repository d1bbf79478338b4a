"""Who knows every id of somebody else's, and uses it wherever an id can stand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from headrace.store.wall import behind_wall
from headrace.web.auth.identity import Scope
from tests.web.serving import who
from tests.web.town import Town, open_town
from tests.web.whole import MARK, OPERATIONS, OWNER

pytestmark = pytest.mark.asyncio(loop_scope="module")

STRANGERS = (who("globex", "ann", *Scope), who("acme", "bob", Scope.JOBS_READ, Scope.JOBS_WRITE))
OF_EVERYBODY = {"/v1/pipelines/{name}"}
"""What they name belongs to no tenant."""
READABLE = """
select oid::regclass::text as place from pg_class
where relnamespace::regnamespace::text like 'headrace%' and relkind in ('r', 'v', 'm', 'p')
and has_table_privilege('headrace_api', oid, 'select') order by 1
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(vector_server: str) -> AsyncIterator[Town]:
    async with open_town(vector_server) as opened:
        yield opened


class TestStrangers:
    """J7: who knows every id of somebody else's has nothing of it."""

    async def test_no_id_opens_any_path(self, town: Town):
        # Of each kind some: those of the right kind are tried by the matrix, too.
        ids = sorted(await everything_known(town))[::5]
        before = await self.state_of(town)
        for stranger in STRANGERS:
            client = await town.api.client(stranger)
            for one in OPERATIONS:
                if not one.names or Scope.OPERATOR in (one.scopes or ()):
                    continue
                if not set(town.first()) & set(one.names) or one.path in OF_EVERYBODY:
                    continue
                for value in ids:
                    place = one.place(**dict.fromkeys(one.names, value))
                    body = {"json": one.body} if one.media_type == "application/json" else {}
                    headers = {"Accept": "application/json"}
                    answer = await client.request(one.method, place, headers=headers, **body)
                    assert answer.status_code in {400, 403, 404, 422}, (str(one), answer.text)
                    assert MARK not in answer.text
        assert await self.state_of(town) == before

    async def test_no_id_in_a_body_opens_anything(self, town: Town):
        for stranger in STRANGERS:
            client = await town.api.client(stranger)
            for document in town.stock.documents:
                body: dict[str, Any] = {"query": MARK, "document_ids": [document]}
                found = await client.post("/v1/documents/search", json=body)
                assert found.json().get("items", []) == []
                for payload in ({"upload": document}, {"document": document}):
                    body = {"pipeline": "documents", "payload": payload}
                    sent = await client.post("/v1/jobs", json=body)
                    if sent.status_code == 202:
                        await town.api.engine.run_until_empty(40)
                        shown = await client.get(sent.headers["Location"])
                        assert shown.json()["state"] == "failed"
                        assert MARK not in shown.text
                assert (await client.get("/v1/documents")).json()["items"] == []
            for job in town.stock.jobs:
                body = {"pipeline": "double", "payload": 1, "parent_job_id": job}
                assert (await client.post("/v1/jobs", json=body)).status_code == 404

    async def test_no_statement_that_forgets_the_tenant_shows_it(self, town: Town):
        """J10: of every table that requests can read, with whatever pipeline came with it."""
        marks = [MARK, *await everything_known(town)]
        async with town.api.engine.connection() as connection:
            tables = [row["place"] for row in await connection.fetch(READABLE)]
            assert {"headrace.jobs", "headrace_documents.chunks"} <= set(tables)
            everything = {name: await self.rows_of(connection, name) for name in tables}
            assert any(MARK in text for text in everything["headrace_documents.chunks"])
            for tenant, owner in (("globex", "ann"), ("acme", "bob"), ("", "")):
                async with behind_wall(connection, tenant, owner):
                    for name in tables:
                        for text in await self.rows_of(connection, name):
                            assert not [mark for mark in marks if mark in text], name

    async def rows_of(self, connection: asyncpg.Connection, table: str) -> list[str]:
        rows = await connection.fetch(f"select t::text from {table} t")  # noqa: S608
        return [row[0] for row in rows]

    async def state_of(self, town: Town) -> list[tuple[Any, ...]]:
        async with town.api.engine.connection() as connection:
            rows = await connection.fetch(
                "select id, state::text, run, input::text from headrace.jobs "
                "where tenant = 'acme' and owner = 'ann' order by id"
            )
            files = await connection.fetch("select * from headrace_documents.documents order by 1")
            hooks = await connection.fetch("select * from headrace.webhooks order by id")
        return [tuple(row) for row in [*rows, *files, *hooks]]


async def everything_known(town: Town) -> set[str]:
    """Every id that the owner's own answers name."""
    client = await town.api.client(OWNER)
    known: set[str] = set()
    for one in OPERATIONS:
        if one.method != "GET" or one.scopes is None or Scope.OPERATOR in one.scopes:
            continue
        for job, document in zip(town.stock.jobs, town.stock.documents * 4, strict=False):
            values = {**town.first(), "job_id": job, "document_id": document}
            headers = {"Accept": "application/json"}
            answer = await client.get(one.place(**values), headers=headers)
            if answer.status_code == 200:
                known |= set(ids_in(answer.json()))
    assert known.issuperset([*town.stock.jobs, *town.stock.documents])
    return known.union(town.stock.webhooks)


def ids_in(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for part in value.values():
            yield from ids_in(part)
    elif isinstance(value, list):
        for part in value:
            yield from ids_in(part)
    elif isinstance(value, str) and len(value) == 36 and value.count("-") == 4:
        yield value
