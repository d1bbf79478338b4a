"""Claims the jobs that have to pass gates: those with keys, and those under a limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.store.sql import SQL

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    import asyncpg

    from headrace.store.pool import HeldConnection


class Gates:
    """Of one worker, over its claimer's connection.

    Nothing is asked for them while no lane of the worker has one.
    """

    def __init__(self, worker: int) -> None:
        """Nothing is known before the first look."""
        self._worker = worker
        self._left: list[UUID] = []
        self._tokens: set[int] = set()
        self._is_turn = False
        self.are_used = False
        """Whether a job of the worker's lanes may have to pass one."""

    async def look(self, connection: HeldConnection, lanes: Sequence[int]) -> None:
        """Find out whether there are any."""
        self.are_used = await connection.fetchval(SQL["gates.has_gated_lanes"], list(lanes))

    def take_turn(self) -> bool:
        """Whether their jobs come first: each second time, so that nobody waits for ever."""
        self._is_turn = self.are_used and not self._is_turn
        return self._is_turn

    def left(self, job: UUID, token: int) -> None:
        """A job is no longer in this worker's hands."""
        if token in self._tokens:
            self._left.append(job)

    def spent(self, token: int) -> None:
        """All jobs of a claim have left."""
        self._tokens.discard(token)

    async def pick(
        self,
        connection: HeldConnection,
        lanes: Sequence[int],
        older: Sequence[int],
        most: int,
        *,
        suspects: bool = False,
    ) -> list[asyncpg.Record]:
        """Let others in where jobs have left, and claim those that may run.

        Returns:
            The rows of `claims.claim_jobs`, all of one token.
        """
        left, self._left = self._left, []
        try:
            rows = await connection.fetch(
                SQL["gates.claim_gated"], self._worker, lanes, most, suspects, older, left
            )
        except BaseException:
            self._left += left
            raise
        if rows:
            self._tokens.add(rows[0]["token"])
        return rows

    async def settle(self, connection: HeldConnection) -> None:
        """Let others in where jobs have left, for a worker that claims nothing just now."""
        while self._left:
            left, self._left = self._left, []
            try:
                await connection.fetch(SQL["gates.settle_gates"], left)
            except BaseException:
                self._left += left
                raise
