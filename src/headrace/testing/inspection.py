"""Looking at what is stored, and clearing it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from headrace.client import JobHandle
from headrace.client.submission import parse_id
from headrace.errors import JobNotFoundError
from headrace.store.connections import Connections
from headrace.store.pool import connect
from headrace.store.sql import SQL
from headrace.testing import rows

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from headrace.model.job import JobState
    from headrace.store.pool import HeldConnection


class Inspection:
    """Reads the tables of one database."""

    def __init__(self) -> None:
        self.database = ""
        """The address of the database."""
        self._connections = Connections(self._connect, most=lambda: 5)

    async def _connect(self) -> HeldConnection:
        return await connect(self.database, name="headrace test")

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[HeldConnection]:
        """A connection to the database, for statements of the test's own."""
        async with self._connections.use() as connection:
            yield connection

    async def jobs(
        self,
        *,
        queue: str | None = None,
        pipeline: str | None = None,
        state: JobState | str | None = None,
    ) -> list[rows.JobRow]:
        """The jobs, oldest first; of a queue, of a pipeline, in a state."""
        async with self.connection() as connection:
            return await rows.read_jobs(connection, queue=queue, pipeline=pipeline, state=state)

    async def job(self, job: JobHandle[Any] | str | UUID) -> rows.JobRow:
        """One job as it is now.

        Raises:
            JobNotFoundError: There is no such job.
        """
        key = _uuid_of(job)
        async with self.connection() as connection:
            found = await rows.read_jobs(connection, job=key)
        if not found:
            raise JobNotFoundError(key)
        return found[0]

    async def steps(self, job: JobHandle[Any] | str | UUID) -> list[rows.StepRow]:
        """The checkpoints of a job, of all runs, oldest first."""
        async with self.connection() as connection:
            return await rows.read_steps(connection, _uuid_of(job))

    async def records(self, job: JobHandle[Any] | str | UUID) -> list[rows.RecordRow]:
        """What `once` stored for a job, oldest first."""
        async with self.connection() as connection:
            return await rows.read_records(connection, _uuid_of(job))

    async def tries(self, job: JobHandle[Any] | str | UUID) -> list[rows.TryRow]:
        """The tries of a job that failed or were put off, oldest first."""
        async with self.connection() as connection:
            return await rows.read_tries(connection, _uuid_of(job))

    async def events(self, job: JobHandle[Any] | str | UUID) -> list[rows.EventRow]:
        """The transitions of a job, in order."""
        async with self.connection() as connection:
            return await rows.read_events(connection, _uuid_of(job))

    async def clear(self, queue: str = "default") -> int:
        """Delete the jobs that are queued in a queue, with all that is stored of them.

        Returns:
            How many there were.
        """
        async with self.connection() as connection, connection.transaction():
            await connection.execute(SQL["retention.allow_deletion"])
            status = await connection.execute(SQL["testing.clear_queue"], queue)
            return int(status.rpartition(" ")[2])


def _uuid_of(job: JobHandle[Any] | str | UUID) -> UUID:
    return parse_id(job.id if isinstance(job, JobHandle) else job)
