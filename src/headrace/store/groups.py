"""How a group of entries is written: behind the fence, in one transaction.

The fence is the lock of each job's row, taken under its token; a row that another transaction holds
is skipped. What is not locked is not written.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from headrace.store.entries import End, Entry, Release
from headrace.store.sql import SQL

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    import asyncpg

    from headrace.store.pool import HeldConnection

    Statement = asyncpg.prepared_stmt.PreparedStatement[asyncpg.Record]


class GroupConnection:
    """A connection that writes groups for one worker.

    `write` returns the jobs whose entries it stored, with the state that each was moved to.
    """

    def __init__(self, connection: HeldConnection, worker: int, head_start_s: float) -> None:
        self._connection, self._worker = connection, worker
        self._head_start = timedelta(seconds=head_start_s)
        self._finish: Statement
        self._checkpoint: Statement

    async def prepare(self) -> None:
        """Prepare the frequent statements."""
        self._finish = await self._connection.prepare(SQL["ledger.finish_jobs"])
        self._checkpoint = await self._connection.prepare(SQL["ledger.checkpoint_steps"])
        # A prepare leaves its command open, and the server's time limit for statements running.
        await self._connection.execute("select")

    @property
    def is_closed(self) -> bool:
        """Whether it is of no more use."""
        return self._connection.is_closed()

    async def close(self) -> None:
        """Drop the connection at once."""
        self._connection.terminate()

    async def write(self, kind: str, group: list[Entry]) -> Mapping[UUID, str | None]:
        """Store a group of one kind."""
        if kind == "finish":
            return await self._write_finishes(group)
        if kind == "checkpoint":
            return await self._write_checkpoints(group)
        return await self._write_changes(group)

    async def read_back(self, entries: list[Entry]) -> Mapping[UUID, tuple[bool, str | None]]:
        """Whether each job still runs under its token, and if not, what the token made of it."""
        rows = await self._connection.fetch(
            SQL["ledger.read_back"],
            [entry.job for entry in entries],
            [entry.token for entry in entries],
            self._worker,
        )
        return {row["id"]: (row["held"], row["moved"]) for row in rows}

    async def _write_finishes(self, group: list[Entry]) -> Mapping[UUID, str | None]:
        rows = [entry.steps[0] for entry in group]
        done = await self._finish.fetch(
            [entry.job for entry in group],
            [entry.token for entry in group],
            [row.step for row in rows],
            [row.position for row in rows],
            [row.attempts for row in rows],
            [row.latency_us for row in rows],
            [row.output for row in rows],
            [entry.move.result_step for entry in group],  # type: ignore[union-attr]
            self._worker,
        )
        return {row[0]: row[1] for row in done}

    async def _write_checkpoints(self, group: list[Entry]) -> Mapping[UUID, str | None]:
        pairs = [(entry, row) for entry in group for row in entry.steps]
        done = await self._checkpoint.fetch(
            [entry.job for entry, _ in pairs],
            [entry.token for entry, _ in pairs],
            [row.step for _, row in pairs],
            [row.item for _, row in pairs],
            [row.position for _, row in pairs],
            [row.attempts for _, row in pairs],
            [row.latency_us for _, row in pairs],
            [row.output for _, row in pairs],
            self._worker,
        )
        if len(done) == len(pairs):
            return dict.fromkeys((entry.job for entry in group), None)
        # A row came free between two checkpoints of its job: what is missing is sent again.
        stored = {(row[0], row[1], row[2]) for row in done}
        return {
            entry.job: None
            for entry in group
            if all((entry.job, row.step, row.item) in stored for row in entry.steps)
        }

    async def _write_changes(self, group: list[Entry]) -> Mapping[UUID, str | None]:
        async with self._connection.transaction():
            locked = await self._connection.fetch(
                SQL["ledger.fence_jobs"],
                [entry.job for entry in group],
                [entry.token for entry in group],
            )
            held = {row["id"]: row["cancel_requested"] for row in locked}
            entries = [entry for entry in group if entry.job in held]
            states: dict[UUID, str | None] = {entry.job: None for entry in entries}
            if entries:
                await self._insert_steps(entries)
                await self._insert_records(entries)
                await self._insert_tries(entries)
                await self._write_starts(entries)
                await self._insert_waits(entries)
                # What ends a job comes before what puts one back: who waits for children holds
                # locks for which an end may have to wait. See 0013_waits.sql.
                states.update(await self._end(entries))
                for ends in (True, False):
                    some = [entry for entry in entries if held[entry.job] is ends]
                    states.update(await self._release(some))
        return states

    async def _insert_steps(self, entries: list[Entry]) -> None:
        pairs = [(entry, row) for entry in entries for row in entry.steps]
        if pairs:
            await self._run(
                "ledger.insert_steps",
                [entry.job for entry, _ in pairs],
                [entry.run for entry, _ in pairs],
                [row.step for _, row in pairs],
                [row.item for _, row in pairs],
                [row.state for _, row in pairs],
                [row.position for _, row in pairs],
                [row.attempts for _, row in pairs],
                self._worker,
                [entry.token for entry, _ in pairs],
                [row.latency_us for _, row in pairs],
                [row.output for _, row in pairs],
                [row.artifact for _, row in pairs],
                [row.reason for _, row in pairs],
                [row.metadata for _, row in pairs],
            )

    async def _insert_records(self, entries: list[Entry]) -> None:
        pairs = [(entry, row) for entry in entries for row in entry.records]
        if pairs:
            await self._run(
                "ledger.insert_records",
                [entry.job for entry, _ in pairs],
                [entry.run for entry, _ in pairs],
                [row.step for _, row in pairs],
                [row.item for _, row in pairs],
                [row.name for _, row in pairs],
                self._worker,
                [entry.token for entry, _ in pairs],
                [row.latency_us for _, row in pairs],
                [row.output for _, row in pairs],
                [row.artifact for _, row in pairs],
            )

    async def _insert_tries(self, entries: list[Entry]) -> None:
        pairs = [(entry, row) for entry in entries for row in entry.tries]
        if pairs:
            await self._run(
                "ledger.insert_tries",
                [entry.job for entry, _ in pairs],
                [entry.run for entry, _ in pairs],
                [row.step for _, row in pairs],
                [row.item for _, row in pairs],
                [row.attempt for _, row in pairs],
                self._worker,
                [entry.token for entry, _ in pairs],
                [row.latency_us for _, row in pairs],
                [row.kind for _, row in pairs],
                [row.code for _, row in pairs],
                [row.message for _, row in pairs],
                [row.detail for _, row in pairs],
                [row.wait_s for _, row in pairs],
            )

    async def _write_starts(self, entries: list[Entry]) -> None:
        clears = [(entry, key) for entry in entries for key in entry.clears]
        if clears:
            await self._run(
                "ledger.clear_starts",
                [entry.job for entry, _ in clears],
                [step for _, (step, _) in clears],
                [item for _, (_, item) in clears],
            )
        starts = [(entry, key) for entry in entries for key in entry.starts]
        if starts:
            await self._run(
                "ledger.record_starts",
                [entry.job for entry, _ in starts],
                [entry.run for entry, _ in starts],
                [step for _, (step, _) in starts],
                [item for _, (_, item) in starts],
                self._worker,
                [entry.token for entry, _ in starts],
            )
        calm = [entry.job for entry in entries if entry.calm]
        if calm:
            await self._run("ledger.calm_jobs", calm)

    async def _insert_waits(self, entries: list[Entry]) -> None:
        pairs = [(entry, row) for entry in entries for row in entry.waits]
        if pairs:
            await self._run(
                "ledger.insert_waits",
                [entry.job for entry, _ in pairs],
                [entry.run for entry, _ in pairs],
                [row.step for _, row in pairs],
                [row.item for _, row in pairs],
                [row.kind for _, row in pairs],
                [row.name for _, row in pairs],
                [row.wait_s for _, row in pairs],
                [entry.token for entry, _ in pairs],
            )

    async def _end(self, entries: list[Entry]) -> dict[UUID, str]:
        moves = [(entry.job, entry.move) for entry in entries if isinstance(entry.move, End)]
        if not moves:
            return {}
        rows = await self._run(
            "ledger.end_jobs",
            [job for job, _ in moves],
            [move.state for _, move in moves],
            [move.reason for _, move in moves],
            [move.cause for _, move in moves],
            [move.error for _, move in moves],
            [move.result_step for _, move in moves],
            [move.step for _, move in moves],
            [move.item for _, move in moves],
            self._worker,
        )
        return {row["id"]: row["state"] for row in rows}

    async def _release(self, entries: list[Entry]) -> dict[UUID, str]:
        moves = [(entry.job, entry.move) for entry in entries if isinstance(entry.move, Release)]
        if not moves:
            return {}
        rows = await self._run(
            "ledger.release_jobs",
            [job for job, _ in moves],
            [move.wait_s for _, move in moves],
            [move.reason for _, move in moves],
            [move.error for _, move in moves],
            self._worker,
            self._head_start,
            [",".join(move.signals) or None for _, move in moves],
            [",".join(move.children) or None for _, move in moves],
        )
        return {row["id"]: row["state"] for row in rows}

    async def _run(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        return await self._connection.fetch(SQL[statement], *arguments)
