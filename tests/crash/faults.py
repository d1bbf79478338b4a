"""What goes wrong, when: planned from one integer, carried out on a fleet, and written down."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import asyncpg

from tests.crash.fleet import Blow, Fleet, Slot
from tests.crash.server import CrashServer

SPARE_AT: Final = 2
"""A suspect that was charged so often is not hit again: the next hit would fail its job."""
SPARE_S: Final = 5.0

CONFLICTS: Final = 0.05
"""The share of row writes that fail while there are conflicts."""

SUSPECTS: Final = """
    select coalesce(max(start.charges), 0)
    from headrace.workers as worker
    join headrace.claims as claim on claim.worker = worker.id
    cross join unnest(claim.jobs) as given (id)
    join headrace.jobs as job on job.id = given.id and job.token = claim.token
    join headrace.progress as start on start.job = job.id and start.recorded
    where worker.pid = $1 and worker.lost_at is null and worker.stopped_at is null
    and job.state = 'running' and job.suspicion = 2 and not job.id = any($2::uuid[])
"""


CHAOS: Final = """
    create table chaos (conflicts float8 not null);
    insert into chaos values (0);
    create function make_conflict() returns trigger language plpgsql as $$
    begin
        if random() < (select conflicts from public.chaos) then
            if random() < 0.5 then
                raise exception 'made up' using errcode = 'serialization_failure';
            end if;
            raise exception 'made up' using errcode = 'deadlock_detected';
        end if;
        return new;
    end $$;
    create trigger conflict before insert on headrace.steps
    for each row execute function make_conflict();
    create trigger conflict before insert on headrace.job_events
    for each row execute function make_conflict();
"""


@dataclass(frozen=True, slots=True)
class Fault:
    """One planned fault.

    Attributes:
        at: Seconds after the begin.
        slot: Which worker, for those that hit one.
        seconds: How long it lasts.
        hard: Kill the supervisor too, or stop the database as a crash does.
    """

    at: float
    kind: str
    slot: int = 0
    seconds: float = 0.0
    hard: bool = False


@dataclass(frozen=True, slots=True)
class Doses:
    """How many faults of each kind."""

    kills: int
    freezes: int
    restarts: int
    outages: int
    stops: int
    network: int
    conflicts: int

    def as_counts(self) -> dict[str, int]:
        """By kind, as `Fault` names them."""
        return {
            "kill": self.kills, "freeze": self.freezes, "restart": self.restarts,
            "outage": self.outages, "stop": self.stops, "network": self.network,
            "conflict": self.conflicts,
        }  # fmt: skip


def plan(seed: int, doses: Doses, *, seconds: float, scale: float, workers: int) -> list[Fault]:
    """The faults of a run, in order; the same for the same seed."""
    dice = random.Random(f"faults {seed}")  # noqa: S311 - repeatable on purpose
    faults = []
    for kind, count in doses.as_counts().items():
        for number in range(count):
            # Spread over the time, so that a few do not all fall on one moment.
            at = seconds * (number + dice.random()) / count
            slot, hard = dice.randrange(workers), dice.random() < 0.3
            lasts = 0.0
            if kind == "freeze":
                lasts = dice.choice((dice.uniform(2, 15), dice.uniform(32, 45))) * scale
            elif kind == "outage":
                lasts = 60 * scale
            elif kind == "conflict":
                lasts = dice.uniform(5, 20) * scale
            elif kind == "network":
                kind_of = dice.choice(("cut", "swallow", "swallow", "delay", "silence"))
                lasts = dice.uniform(1, 20) * scale
                faults.append(Fault(at, kind_of, slot, lasts, hard))
                continue
            faults.append(Fault(at, kind, slot, lasts, hard))
    return sorted(faults, key=lambda fault: fault.at)


class Havoc:
    """Carries faults out.

    Attributes:
        blows: What hit a worker.
        done: How many faults of each kind were carried out.
        spared: How many hits went elsewhere, since they would have been a suspect's third.
        outages: When the database was away: wall times of the stop and of the return.
    """

    def __init__(
        self, server: CrashServer, fleet: Fleet, poison: set[str], note: Callable[[str], None]
    ) -> None:
        """Nothing happens before `run`; `note` takes a line for the log of faults."""
        self._server, self._fleet, self._poison, self._note = server, fleet, poison, note
        self._database = asyncio.Lock()
        self.blows: list[Blow] = []
        self.done: Counter[str] = Counter()
        self.spared = 0
        self.outages: list[tuple[float, float]] = []

    async def run(self, faults: list[Fault]) -> None:
        """Carry all out, each at its time, whatever else is going wrong then."""
        started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for fault in faults:
                await asyncio.sleep(max(0.0, started + fault.at - time.monotonic()))
                group.create_task(self._carry_out(fault))

    async def _carry_out(self, fault: Fault) -> None:
        slot = self._fleet.slots[fault.slot]
        self._note(f"{fault}, worker process {slot.worker_pid}")
        if fault.kind in {"restart", "outage"}:
            await self._stop_database(fault)
        elif fault.kind in {"kill", "freeze"}:
            slot = await self._spare(slot)
            blow = (
                slot.kill(supervisor=fault.hard)
                if fault.kind == "kill"
                else await slot.freeze(fault.seconds)
            )
            if blow is not None:
                self.blows.append(blow)
        elif fault.kind == "stop":
            await self._stop_worker(slot)
        elif fault.kind == "conflict":
            await self._make_conflicts(fault)
        else:
            await self._disturb(slot, fault)
        self.done[fault.kind] += 1
        self._note(f"end of {fault}")

    async def _stop_database(self, fault: Fault) -> None:
        async with self._database:
            stopped = time.time()
            await self._server.stop(immediate=fault.hard)
            await asyncio.sleep(fault.seconds)
            await self._server.start()
            self.outages.append((stopped, time.time()))

    async def _make_conflicts(self, fault: Fault) -> None:
        """Let some writes fail as serialisation failures and deadlocks do."""
        await self._set_conflicts(CONFLICTS)
        await asyncio.sleep(fault.seconds)
        await self._set_conflicts(0.0)

    async def _set_conflicts(self, share: float) -> None:
        while True:
            try:
                connection = await self._server.connect()
                try:
                    await connection.execute("update chaos set conflicts = $1", share)
                finally:
                    connection.terminate()
            except (OSError, asyncpg.PostgresError, asyncpg.InternalClientError):
                await asyncio.sleep(0.2)  # the database is away
            else:
                return

    async def _stop_worker(self, slot: Slot) -> None:
        end = await slot.stop()
        if end is not None:
            self.blows.append(end[0])

    async def _disturb(self, slot: Slot, fault: Fault) -> None:
        pid, started = slot.worker_pid or 0, time.time()
        if fault.kind == "cut":
            slot.proxy.cut("" if fault.hard else "presence")
        elif fault.kind == "swallow":
            slot.proxy.swallow_commit("ledger" if not fault.hard else "")
            return
        elif fault.kind == "delay":
            slot.proxy.delay(0.3)
        else:
            slot.proxy.fall_silent()
        await asyncio.sleep(fault.seconds)
        slot.proxy.heal()
        self.blows.append(Blow(fault.kind, slot.number, pid, started, time.time()))

    async def _spare(self, slot: Slot) -> Slot:
        """This worker, or another one if it would be the last hit that one of its jobs can take."""
        for candidate in (slot, *self._fleet.slots):
            if not await self._holds_marked(candidate):
                return candidate
            self.spared += 1
        await asyncio.sleep(SPARE_S)
        return slot

    async def _holds_marked(self, slot: Slot) -> bool:
        pid = slot.worker_pid
        if pid is None:
            return False
        try:
            async with asyncio.timeout(2):
                connection = await self._server.connect()
                try:
                    charges = await connection.fetchval(SUSPECTS, pid, sorted(self._poison))
                finally:
                    connection.terminate()
        except Exception:  # noqa: BLE001 - the database is away: nobody knows, and nobody claims
            return False
        return int(charges) >= SPARE_AT
