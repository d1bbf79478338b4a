"""Stops a worker inside the n-th transaction that writes, just before it commits.

Every transaction that touches what is stored of jobs and of their pipeline is one point. The server
itself holds it there, so the worker knows nothing of it and no code is changed; the test then
decides whether it commits, and kills the worker, which never hears of that.
"""

import contextlib
import functools
import signal
from collections.abc import AsyncIterator, Sequence
from typing import Final

from headrace import JobState
from headrace.testing import Engine, WorkerProcess
from tests.waiting import eventually

TABLES: Final = (
    "headrace.job_events",
    "headrace.steps",
    "headrace.records",
    "headrace.tries",
    "headrace_documents.documents",
    "headrace_documents.chunks",
)
INSTALL: Final = """
    create schema trial;
    create sequence trial.writes;
    create table trial.plan (stop_at bigint);
    insert into trial.plan default values;
    create function trial.stand() returns trigger language plpgsql as $$
    declare
        mine text := pg_current_xact_id()::text;
        number bigint;
    begin
        if current_setting('trial.spared', true) = 'on'
        or current_setting('trial.seen', true) = mine then
            return null;
        end if;
        perform set_config('trial.seen', mine, false);
        number := nextval('trial.writes');
        if number = (select stop_at from trial.plan) then
            perform pg_advisory_lock(4242);
            while number = (select stop_at from trial.plan) loop
                perform pg_sleep(0.005);
            end loop;
            perform pg_advisory_unlock(4242);
        end if;
        return null;
    end
    $$;
"""
WATCH: Final = """
    create constraint trigger stand after insert or update or delete on {table}
    deferrable initially deferred for each row execute function trial.stand()
"""
HOLDER: Final = """
    select pid from pg_locks where locktype = 'advisory' and objid = 4242 and granted
    and database = (select oid from pg_database where datname = current_database())
"""
IS_BUSY: Final = "select count(*) from pg_stat_activity where pid = $1 and state = 'active'"


def spared(database: str) -> str:
    """The address by which nothing that is written is a point."""
    return f"{database}{'&' if '?' in database else '?'}trial.spared=on"


class WritePoints:
    """The points of one database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def install(self, tables: Sequence[str] = TABLES) -> None:
        """Watch these tables."""
        async with self._engine.connection() as connection:
            await connection.execute(INSTALL)
            for table in tables:
                await connection.execute(WATCH.format(table=table))

    @contextlib.asynccontextmanager
    async def armed(self, nth: int) -> AsyncIterator[None]:
        """Count from now on, and stop who makes the n-th write."""
        async with self._engine.connection() as connection:
            await connection.execute("alter sequence trial.writes restart")
        await self.move_to(nth)
        try:
            yield
        finally:
            await self.move_to(None)

    async def move_to(self, nth: int | None) -> None:
        """Let go who stands at another point."""
        async with self._engine.connection() as connection:
            await connection.execute("update trial.plan set stop_at = $1", nth)

    async def count(self) -> int:
        """Writes since `armed` began."""
        async with self._engine.connection() as connection:
            written: int = await connection.fetchval(
                "select last_value - (not is_called)::integer from trial.writes"
            )
            return written

    async def holder(self) -> int | None:
        """The server's process that stands at the point."""
        async with self._engine.connection() as connection:
            found: int | None = await connection.fetchval(HOLDER)
            return found

    async def end(self, holder: int, *, commit: bool) -> None:
        """Let the transaction commit, or break it off; returns when that is done."""
        async with self._engine.connection() as connection:
            if commit:
                await connection.execute("update trial.plan set stop_at = null")
            else:
                await connection.execute("select pg_terminate_backend($1)", holder)

            await eventually(functools.partial(self._is_idle, holder))

    async def _is_idle(self, backend: int) -> bool:
        async with self._engine.connection() as connection:
            return not await connection.fetchval(IS_BUSY, backend)


async def die(engine: Engine, points: WritePoints, process: WorkerProcess, *, commit: bool) -> bool:
    """Kill a worker where it stands; false where it never came there: all jobs have ended."""

    async def holder_or_end() -> int | None:
        is_over = all(JobState(job.state).is_final for job in await engine.jobs())
        return await points.holder() or (-1 if is_over else None)

    holder = await eventually(holder_or_end, within=30)
    if holder == -1:
        return False
    process.send_signal(signal.SIGSTOP)  # it must not see how its transaction ends
    await points.end(holder, commit=commit)
    process.kill()
    assert await process.wait() == -signal.SIGKILL
    return True
