"""Claims jobs from the tenants in their turns."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from headrace.store.sql import SQL
from headrace.worker.turns import WINDOW, Turns

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

    from headrace.store.pool import HeldConnection

    Prepared = asyncpg.prepared_stmt.PreparedStatement[asyncpg.Record]


class Picker:
    """Takes due jobs over one connection.

    Args:
        worker: The worker that claims.
        connection: Nobody else may use it meanwhile.
        claim: `claims.claim_jobs`, prepared on it.
        suspects: Whether the suspects are claimed, or all others.
    """

    def __init__(
        self, worker: int, connection: HeldConnection, claim: Prepared, *, suspects: bool
    ) -> None:
        self._worker, self._connection, self._claim = worker, connection, claim
        self._suspects = suspects
        self._turns, self._lanes = Turns(), frozenset[int]()

    async def pick(
        self, lanes: Sequence[int], older: Sequence[int], most: int
    ) -> list[asyncpg.Record]:
        """Claim jobs: fewer than were asked for, but some, is no proof that there are no more.

        Args:
            lanes: Where to look.
            older: Those of them that are of an earlier version of a pipeline.
            most: How many jobs may come.

        Returns:
            The rows of `claims.claim_jobs`, all of one token.
        """
        if self._lanes != (carried := frozenset(lanes)):
            self._turns.forget()
            self._lanes = carried
        if self._turns.can_claim(monotonic()):
            rows = await self._pick(lanes, older, most)
            if rows:
                return rows
        await self._look(lanes)
        while self._turns.has_found:  # unless others were faster, the first time is the only one
            rows = await self._pick(lanes, older, most)
            if rows:
                return rows
        return []

    async def _pick(
        self, lanes: Sequence[int], older: Sequence[int], most: int
    ) -> list[asyncpg.Record]:
        turn = self._turns.turn(most, lanes)
        rows = await self._claim.fetch(
            self._worker, turn.lanes, most, self._suspects, older, turn.shares, turn.quota
        )
        self._turns.took(turn, [row["share"] for row in rows], most)
        return rows

    async def _look(self, lanes: Sequence[int]) -> None:
        found = False
        while not found:
            rows = await self._connection.fetch(
                SQL["claims.find_shares"], lanes, self._suspects, self._turns.after, WINDOW
            )
            found = self._turns.found([(row["lane"], row["share"]) for row in rows], monotonic())
