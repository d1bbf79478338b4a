"""Takes due jobs from the database: at a ring, at the next due time, or by polling.

One connection does it all: claims, promotions of future jobs, LISTEN, and the comparison of what
the database says this worker holds with what it does hold.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from headrace.store.entries import Entry, Release
from headrace.store.failpoints import hit
from headrace.store.gates import LANES_CHANGED
from headrace.store.sql import SQL
from headrace.telemetry.events import emit
from headrace.telemetry.worker_events import ClaimsReconciled
from headrace.worker import report
from headrace.worker.carried import Lane, read_claim, version_key
from headrace.worker.picking import Picker
from headrace.worker.restoring import restore
from headrace.worker.service import Service
from headrace.worker.watching import waiting_runs, watch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    import asyncpg

    from headrace.model.pipeline import Pipeline
    from headrace.store.ledger import Ledger
    from headrace.store.pool import HeldConnection
    from headrace.worker.executor import Executor
    from headrace.worker.gating import Gates
    from headrace.worker.timing import Timing

CHANNEL: Final = "headrace_jobs"
PROMOTE_MOST: Final = 1_000
WATCH_S: Final = 1.0
"""Between two looks at what has come for jobs that wait while others of their steps run."""
SPENT_MOST: Final = 100
"""Claims whose jobs have all left are removed in batches of about this size, or once a second."""


class Look(NamedTuple):
    """What somebody who asked to look hears.

    Attributes:
        taken: Jobs that were claimed.
        more: Whether work is due that this worker has no slot for.
    """

    taken: int
    more: bool


class Pickers(NamedTuple):
    """What takes jobs: the suspects, of which there is one at a time, and all others."""

    others: Picker
    suspects: Picker


class Claimer(Service):
    """Keeps the executor's slots filled.

    Args:
        connect: Opens the connection that it keeps.
        worker: The worker that claims.
        pipelines: What it carries, by name.
        queues: Which queues it serves.
        concurrency: Jobs at once, 1 to 1,000.
        batch: Most jobs in one claim.
        listen: Whether to LISTEN; else polling alone.
        job_timeout_s: Running time of a job whose pipeline says nothing else.
        most: Jobs after which nothing is claimed any more; None for no end.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[HeldConnection]],
        *,
        worker: int,
        pipelines: Mapping[str, Pipeline[Any, Any]],
        queues: tuple[str, ...],
        executor: Executor,
        ledger: Ledger,
        timing: Timing,
        concurrency: int,
        batch: int,
        listen: bool,
        job_timeout_s: float,
        most: int | None = None,
    ) -> None:
        pauses = replace(timing, restart_most=max(timing.poll_error, timing.restart_first))
        super().__init__("claimer", worker_id=str(worker), timing=pauses)
        self._connect, self._worker, self._timing = connect, worker, timing
        self._pipelines, self._queues = pipelines, queues
        self._executor, self._ledger = executor, ledger
        self._concurrency, self._batch, self._listen = concurrency, batch, listen
        self._job_timeout_s, self._left = job_timeout_s, most
        self._bell = asyncio.Event()
        self._between = asyncio.Event()
        self._between.set()
        self._open = True
        self._spent: list[int] = []
        self._asked: list[asyncio.Future[Look]] = []
        self.took_at = 0.0
        """When jobs were last claimed, as `time.monotonic` tells it."""
        self._promote_at = self._reconcile_at = self._suspect_at = self._lanes_at = 0.0
        self._watch_at = 0.0
        self.lanes: dict[int, Lane] = {}
        self.idle = asyncio.Event()
        """Set while the last claim found nothing and nothing runs."""
        self.spent = asyncio.Event()
        """Set when as many jobs were taken as there may be, or none was due."""

    def ring(self) -> None:
        """Look for due jobs now."""
        self._bell.set()

    @property
    def _gates(self) -> Gates:
        return self._executor.gates

    @property
    def has_room(self) -> bool:
        """Whether it would claim a job that is due."""
        return self._open and self._executor.busy < self._concurrency

    async def look(self) -> Look:
        """Look for due jobs now, and return when what was due by then is claimed.

        All who ask before a look begins share it.
        """
        asked: asyncio.Future[Look] = asyncio.get_running_loop().create_future()
        self._asked.append(asked)
        self._bell.set()
        return await asked

    def close_intake(self) -> None:
        """Claim nothing more; what is held is still looked after."""
        self._open = False
        self._bell.set()

    async def finish_claim(self) -> None:
        """Return when no claim is on its way: what it takes is in the executor's hands then."""
        await self._between.wait()

    async def run(self) -> None:
        """Claim until stopped."""
        connection = await self._connect()
        try:
            if self._listen:
                await connection.add_listener(CHANNEL, self._heard)
            pickers = await self._pickers(connection)
            self._lanes_at = self._promote_at = 0.0
            while True:
                self._bell.clear()
                asked, self._asked = self._asked, []
                await self._look_after(connection)
                taken = await self._claim(connection, pickers)
                await self._gates.settle(connection)  # where it did not claim
                self.worked()
                if asked:
                    await self._tell(connection, asked, taken)
                if not taken:
                    await self._wait(connection)
        finally:
            with contextlib.suppress(Exception):
                connection.terminate()

    async def _pickers(self, connection: HeldConnection) -> Pickers:
        claim = await connection.prepare(SQL["claims.claim_jobs"])
        await connection.execute("select")  # ends the prepare's command, and its time limit
        others, suspects = (
            Picker(self._worker, connection, claim, suspects=suspects) for suspects in (False, True)
        )
        return Pickers(others, suspects)

    async def _tell(
        self, connection: HeldConnection, asked: list[asyncio.Future[Look]], taken: int
    ) -> None:
        more = bool(taken) and not self.has_room
        if more:
            more = bool(await connection.fetchval(SQL["claims.is_work_due"], list(self.lanes)))
        for one in asked:
            if not one.done():  # who asked may have given up
                one.set_result(Look(taken, more))

    # --- claiming ---------------------------------------------------------------------------------

    async def _claim(self, connection: HeldConnection, pickers: Pickers) -> int:
        """Fill the free slots once; how many jobs came."""
        await self._ledger.wait_for_room()
        executor = self._executor
        free = min(self._concurrency - executor.busy, self._batch)
        if self._left is not None:
            free = min(free, self._left)
        if free <= 0 or not self._open or executor.halted is not None or not self.lanes:
            return 0
        self._between.clear()
        try:
            taken = await self._take(connection, pickers, free)
        finally:
            self._between.set()
        if self._left is not None:
            self._count_down(taken)
        return taken

    def _count_down(self, taken: int) -> None:
        self._left = (self._left or 0) - taken
        if not self._left or not taken:
            self._open = False
            self.spent.set()

    async def _take(self, connection: HeldConnection, pickers: Pickers, free: int) -> int:
        executor, gates = self._executor, self._gates
        lanes = list(self.lanes)
        older = [number for number, lane in self.lanes.items() if lane.older]
        began = monotonic()
        rows: list[asyncpg.Record] = []
        if self._suspect_at <= began and not executor.suspects:
            self._suspect_at = began + self._timing.reap.total_seconds()
            rows = await pickers.suspects.pick(lanes, older, 1)
            if gates.are_used and not rows:
                rows = await gates.pick(connection, lanes, older, 1, suspects=True)
            self._count(rows)
        order = (True, False) if gates.take_turn() else (False, gates.are_used)
        for is_gated in dict.fromkeys(order):
            if len(rows) < free:
                most = free - len(rows)
                if is_gated:
                    more = await gates.pick(connection, lanes, older, most)
                else:
                    more = await pickers.others.pick(lanes, older, most)
                self._count(more)
                rows += more
        if rows:
            hit("claim.after_commit")
            self.took_at = monotonic()
            report.batch_claimed(self.worker_id, len(rows), monotonic() - began)
            await self._begin(connection, rows)
        return len(rows)

    def _count(self, rows: list[asyncpg.Record]) -> None:
        """Remember how many jobs one claim took: they all bear its token."""
        if rows:
            self._executor.left[rows[0]["token"]] = len(rows)

    async def _begin(self, connection: HeldConnection, rows: list[asyncpg.Record]) -> None:
        executor = self._executor
        told = self._timing.lease.total_seconds() if report.wants_claims() else None
        begun = []
        for row in rows:
            claim = read_claim(row, self.lanes, self._worker, self._job_timeout_s)
            if told is not None:
                report.claimed(claim, told)
            if claim.fresh and not claim.pipeline.signals:
                executor.advance(executor.begin(claim))
            else:
                begun.append(claim)
        if begun:
            # Not before all is loaded are they in the executor's hands: if the connection breaks
            # here, the next comparison finds that nobody holds them, and gives them back.
            runs = [executor.make(claim) for claim in begun]
            await restore(connection, runs)
            for run in runs:
                executor.advance(executor.take(run))

    # --- waiting ----------------------------------------------------------------------------------

    async def _wait(self, connection: HeldConnection) -> None:
        """Sleep until a ring, a free slot, the next due time, or the poll."""
        poll_s = self._timing.poll.total_seconds()
        if self._executor.busy < self._concurrency and self._open:
            wait_s = await connection.fetchval(SQL["claims.next_due"])
            if wait_s is not None:
                poll_s = min(poll_s, max(0.0, wait_s))
                self._promote_at = min(self._promote_at, monotonic() + poll_s)
        poll_s = min(poll_s, max(0.01, self._reconcile_at - monotonic()))
        if waiting_runs(self._executor.runs.values()):
            poll_s = min(poll_s, WATCH_S)
        if self._executor.runs:
            self.idle.clear()
        else:
            self.idle.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(poll_s):
                await self._bell.wait()

    def _heard(self, _connection: object, _pid: int, _channel: str, queue: object) -> None:
        if queue == LANES_CHANGED:
            self._lanes_at = 0.0
        if queue in self._queues or queue == LANES_CHANGED:
            self._bell.set()

    # --- upkeep -----------------------------------------------------------------------------------

    async def _look_after(self, connection: HeldConnection) -> None:
        now = monotonic()
        if self._lanes_at <= now:
            await self._find_lanes(connection)
            self._lanes_at = now + self._timing.heartbeat.total_seconds()
        if self._promote_at <= now:
            await connection.execute(SQL["claims.promote_due"], PROMOTE_MOST)
            self._promote_at = now + self._timing.reap.total_seconds()
        if self._watch_at <= now:
            await self._watch(connection)
            self._watch_at = now + WATCH_S
        if self._reconcile_at <= now:
            await self._reconcile(connection)
            self._reconcile_at = now + self._timing.reconcile.total_seconds()
        await self._drop_spent(connection)

    async def _watch(self, connection: HeldConnection) -> None:
        """Look for what jobs wait for of which other steps run."""
        runs = waiting_runs(self._executor.runs.values())
        if runs:
            await watch(connection, runs)
            self._executor.advance_all([run for run in runs if not run.dead])

    async def _find_lanes(self, connection: HeldConnection) -> None:
        """Lanes of what this worker carries: of its own version, and of older ones."""
        rows = await connection.fetch(
            SQL["claims.carried_lanes"], list(self._pipelines), list(self._queues)
        )
        lanes = {}
        for row in rows:
            pipeline = self._pipelines[row["pipeline"]]
            version = version_key(row["version"])
            if version <= pipeline.version_key:
                lanes[row["id"]] = Lane(
                    row["queue"], row["version"], pipeline, version < pipeline.version_key
                )
        new = [number for number in lanes if number not in self.lanes]
        self.lanes = lanes
        await self._gates.look(connection, list(lanes))
        if new:
            await connection.execute(SQL["recovery.unpark_jobs"], new)

    async def _reconcile(self, connection: HeldConnection) -> None:
        """Give back what the database says we hold, and we do not: a claim's reply was lost."""
        executor = self._executor
        rows = await connection.fetch(SQL["claims.held_jobs"], self._worker)
        strays = [row for row in rows if (row["id"], row["token"]) not in executor.runs]
        for row in strays:
            entry = Entry(row["id"], row["token"], 0, _Nobody())
            entry.move = Release(0.0, "released")
            self._ledger.write(entry)
        if strays:
            emit(ClaimsReconciled(worker_id=self.worker_id, jobs=len(strays)))
        held = {token for _, token in executor.runs}
        for token in [token for token in executor.left if token not in held]:
            del executor.left[token]
        await connection.execute(SQL["claims.drop_idle_claims"], self._worker, list(held))

    async def _drop_spent(self, connection: HeldConnection) -> None:
        left = self._executor.left
        for token in [token for token, jobs in left.items() if not jobs]:
            del left[token]
            self._gates.spent(token)
            self._spent.append(token)
        if len(self._spent) >= SPENT_MOST or (self._spent and not self._executor.runs):
            await connection.execute(SQL["claims.drop_claims"], self._worker, self._spent)
            self._spent.clear()


class _Nobody:
    """Nobody waits for the fate of a job that was never begun."""

    def settled(self, entry: Entry, outcome: object) -> None:
        """Nothing to do: if it was not released, the next comparison finds it again."""
