"""The second wall: behind it a statement that forgets the tenant finds nothing of others."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from headrace import Pipeline
from headrace.errors import PermanentError
from headrace.store.databases import EMPTY, fresh_database
from headrace.store.migrate import migrate
from headrace.store.pool import connect
from headrace.store.requests import RequestKey, begin_request, find_request
from headrace.store.wall import behind_wall, wall_stands
from headrace.testing import Engine
from headrace.web.auth.identity import Identity, Scope
from headrace.web.wall import Wall
from tests.web.pipes import Idea, decide

pytestmark = pytest.mark.asyncio(loop_scope="module")

OF_JOBS = ("queued", "steps", "records", "tries", "progress", "job_events", "dead_letters")
SHARED = {"lanes", "pipelines"}
"""What belongs to no tenant."""
OWNERS = [("acme", "ann"), ("acme", "bob"), ("globex", "ann")]

broken = Pipeline("broken", input=str, output=str)


@broken.step
async def breaks(text: str) -> str:
    raise PermanentError(text)


@dataclass
class Town:
    """Jobs of three owners in two tenants."""

    engine: Engine
    jobs: dict[tuple[str, str], set[UUID]]

    @contextlib.asynccontextmanager
    async def seen_by(self, tenant: str, owner: str | None) -> AsyncIterator[asyncpg.Connection]:
        async with (
            self.engine.connection() as connection,
            behind_wall(connection, tenant, owner),
        ):
            yield connection


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(database_server: str) -> AsyncIterator[Town]:
    async with Engine([decide, broken], server=database_server) as engine:
        jobs: dict[tuple[str, str], set[UUID]] = {place: set() for place in OWNERS}
        for late in (False, True):
            for tenant, owner in OWNERS:
                for pipeline, value in ((decide, Idea("a", 2)), (broken, "b")):
                    job = await engine.submit(pipeline, value, tenant=tenant, owner=owner)
                    jobs[tenant, owner].add(UUID(job.id))
            if not late:
                await engine.run_until_empty()
        yield Town(engine, jobs)


class TestBehindTheWall:
    """J10: a statement that forgets the tenant finds nothing of others there."""

    @pytest.mark.parametrize("place", OWNERS)
    async def test_an_owner_sees_own_jobs_only(self, town: Town, place: tuple[str, str]):
        async with town.seen_by(*place) as connection:
            rows = await connection.fetch("select id from headrace.jobs")
        assert {row["id"] for row in rows} == town.jobs[place]

    async def test_an_admin_sees_those_of_the_tenant(self, town: Town):
        async with town.seen_by("acme", None) as connection:
            rows = await connection.fetch("select id from headrace.jobs")
        expected = town.jobs["acme", "ann"] | town.jobs["acme", "bob"]
        assert {row["id"] for row in rows} == expected

    @pytest.mark.parametrize("table", OF_JOBS)
    async def test_what_belongs_to_jobs_of_others_is_not_there(self, town: Town, table: str):
        statement = f"select job from headrace.{table}"  # noqa: S608
        async with town.engine.connection() as connection:
            everything = {row["job"] for row in await connection.fetch(statement)}
        own = town.jobs["globex", "ann"]
        async with town.seen_by("globex", "ann") as connection:
            seen = {row["job"] for row in await connection.fetch(statement)}
        assert seen == everything & own
        if table in {"queued", "steps", "tries", "job_events", "dead_letters"}:
            assert seen
            assert everything - own

    @pytest.mark.parametrize(
        "sabotage",
        [
            "select * from headrace.jobs where tenant = 'globex'",
            "select * from headrace.jobs where id = any($1)",
            "select * from headrace.steps where job = any($1)",
            "select * from headrace.jobs join headrace.steps on job = id where id = any($1)",
            "select * from headrace.dead_letters join headrace.jobs on job = id where id = any($1)",
            "select count(*) from headrace.job_events where job = any($1) having count(*) > 0",
        ],
    )
    async def test_asking_for_others_by_name_helps_nobody(self, town: Town, sabotage: str):
        arguments = [list(town.jobs["globex", "ann"])] if "$1" in sabotage else []
        async with town.engine.connection() as connection:
            assert await connection.fetch(sabotage, *arguments)
        async with town.seen_by("acme", None) as connection:
            assert await connection.fetch(sabotage, *arguments) == []

    async def test_where_nothing_is_said_nothing_is_seen(self, town: Town):
        async with town.engine.connection() as connection, connection.transaction():
            await connection.execute("set local role headrace_api")
            assert await connection.fetchval("select count(*) from headrace.jobs") == 0

    @pytest.mark.parametrize("tenant", ["", "ACME", "acme ", "acme%", "acme' or '1'='1"])
    async def test_another_name_is_another_tenant(self, town: Town, tenant: str):
        async with town.seen_by(tenant, None) as connection:
            assert await connection.fetchval("select count(*) from headrace.jobs") == 0

    async def test_it_ends_with_the_transaction(self, town: Town):
        total = sum(map(len, town.jobs.values()))
        async with town.engine.connection() as connection:
            for _ in range(2):
                async with behind_wall(connection, "globex", "ann"):
                    assert await connection.fetchval("select count(*) from headrace.jobs") == 4
                assert await connection.fetchval("select count(*) from headrace.jobs") == total
            with contextlib.suppress(asyncpg.PostgresError):
                async with behind_wall(connection, "globex", "ann"):
                    await connection.execute("select 1 / 0")
            assert await connection.fetchval("select count(*) from headrace.jobs") == total

    async def test_nothing_can_be_written_there(self, town: Town):
        for statement in ("delete from headrace.jobs", "update headrace.jobs set tenant = 'acme'"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with town.seen_by("acme", "ann") as connection:
                    await connection.execute(statement)

    async def test_keys_audit_and_workers_are_not_there_at_all(self, town: Town):
        for table in ("api_keys", "admin_audit", "workers", "claims", "queues", "job_list"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with town.seen_by("acme", "ann") as connection:
                    await connection.fetch(f"table headrace.{table}")

    async def test_keys_of_requests_are_of_their_owner(self, town: Town):
        mine, others = RequestKey("acme", "ann", "once"), RequestKey("globex", "ann", "once")
        times = {"pending": timedelta(minutes=1), "keep": timedelta(days=1)}
        async with town.seen_by("acme", "ann") as connection:
            assert await begin_request(connection, mine, b"mine", **times)
        async with town.seen_by("globex", "ann") as connection:
            assert await find_request(connection, mine) is None
            assert await connection.execute("delete from headrace.request_keys") == "DELETE 0"
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with town.seen_by("acme", "ann") as connection:
                await begin_request(connection, others, b"theirs", **times)
        async with town.seen_by("acme", "ann") as connection:
            assert await find_request(connection, mine) is not None

    async def test_every_table_that_can_be_read_there_has_the_wall(self, town: Town):
        async with town.engine.connection() as connection:
            rows = await connection.fetch(
                """
                select relname from pg_class
                where relnamespace = 'headrace'::regnamespace and relkind in ('r', 'v', 'm', 'p')
                and has_table_privilege('headrace_api', oid, 'select') and not relrowsecurity
                """
            )
        assert {row["relname"] for row in rows} == SHARED


class TestReading:
    async def test_a_caller_reads_behind_the_wall(self, town: Town):
        wall = Wall(town.engine.app)
        read = frozenset({Scope.JOBS_READ})
        ann = Identity("acme", "ann", read, "ann", "jwt")
        boss = Identity("acme", "ann", read | {Scope.TENANT_ADMIN}, "ann", "jwt")
        for identity, count in ((ann, 4), (boss, 8)):
            async with wall.reading(identity) as connection:
                assert await connection.fetchval("select current_user") == "headrace_api"
                assert await connection.fetchval("select count(*) from headrace.jobs") == count


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plain(database_server: str) -> AsyncIterator[str]:
    """A role that may create nothing but what it is given."""
    name = f"headrace_test_plain_{os.getpid()}"
    administrator = await asyncpg.connect(database_server)
    await administrator.execute(f"create role {name} nologin")
    yield name
    await administrator.execute(f"drop role {name}")
    await administrator.close()


class TestOtherRoles:
    async def test_one_that_may_make_no_roles_still_migrates(
        self, database_server: str, plain: str
    ):
        async with fresh_database(database_server, EMPTY) as address:
            administrator = await connect(address)
            database = await administrator.fetchval("select current_database()")
            await administrator.execute(f'grant create on database "{database}" to {plain}')
            await migrate(f"{address}{'&' if '?' in address else '?'}role={plain}")
            await administrator.execute(f"set role {plain}")
            assert not await wall_stands(administrator)
            # Its own tables are whole for it.
            await administrator.execute("table headrace.jobs")
            await administrator.execute("reset role")
            assert await wall_stands(administrator)
            await administrator.close()

    async def test_an_engine_that_does_not_own_the_tables_sees_all(self, town: Town, plain: str):
        total = sum(map(len, town.jobs.values()))
        async with town.engine.connection() as connection:
            await connection.execute(f"grant usage on schema headrace to {plain}")
            await connection.execute(f"grant select on all tables in schema headrace to {plain}")
            async with connection.transaction():
                await connection.execute(f"set local role {plain}")
                assert await connection.fetchval("select count(*) from headrace.jobs") == total
                assert await connection.fetchval("select count(*) from headrace.steps") > 0
            await connection.execute(f"drop owned by {plain}")
