"""Submits the jobs of schedules when their slots come.

Every worker looks when the next slot of what it carries comes. One of them takes the duty for that
schedule and calls its function; two would do no harm, for a slot is moved on from once.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from headrace.client.slots import input_for, submit_for
from headrace.errors import DatabaseUnavailableError, HeadraceError, ScheduleFunctionError
from headrace.model.slots import next_move
from headrace.store.failpoints import hit
from headrace.store.retention import take_duty
from headrace.store.schedules import (
    advance,
    begin_call,
    define_schedules,
    end_call,
    read_carried,
    record_failure,
    record_slot,
)
from headrace.telemetry.events import emit
from headrace.telemetry.schedule_events import ScheduleFailed, ScheduleFired, ScheduleMissed
from headrace.worker.service import PeriodicService

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from headrace.model.pipeline import Pipeline
    from headrace.model.schedule import Schedule
    from headrace.model.slots import Move
    from headrace.store.schedules import Standing
    from headrace.store.session import Session
    from headrace.worker.parts import Parts

PASS_MOST: Final = 100
"""Slots of a schedule that are worked off before others are looked at again."""
NOTHING_S: Final = 3_600.0
"""Between two looks of a worker whose code has no schedules."""
RETRY_FIRST: Final = timedelta(seconds=1)
RETRY_MOST: Final = timedelta(minutes=5)
STOP_S: Final = 2.0
"""A worker that stops waits no longer for the database to hear whose function it has cut off."""
ACTOR: Final = "schedule"
LOST: Final = "whoever called it last did not come back: its process died, or was cut off"


class Scheduler(PeriodicService):
    """Looks when the next slot comes, and at least each `timing.poll`.

    Args:
        session: A connection that others use, too.
        worker: The worker's number.
        parts: What it is made of.
    """

    def __init__(self, session: Session, worker: int, parts: Parts) -> None:
        timing = parts.timing
        super().__init__("scheduler", every=timing.poll, worker_id=str(worker), timing=timing)
        self._session, self._worker, self._parts = session, worker, parts
        self._lease, self._again_s = timing.janitor_lease, timing.reap.total_seconds()
        self._wait_s = 0.0
        self._defined = False
        self._calls: dict[str, asyncio.Task[bool]] = {}
        self._error: BaseException | None = None
        self._moved = False
        self._settled = asyncio.Event()
        self._carried = {
            (pipeline.name, schedule.name): (pipeline, schedule)
            for pipeline in parts.pipelines.values()
            for schedule in pipeline.schedules.values()
        }

    async def tick(self) -> None:
        """Begin to work off what is due, and see when something will be."""
        self._raise_error()
        self._moved = False
        if self._defined and not self._carried:
            self._wait_s = NOTHING_S
            return
        self._wait_s = self.every_s if self._carried else NOTHING_S
        for standing in await self._read():
            carried = self._carried.get((standing.pipeline, standing.name))
            if carried is None or not standing.is_as(carried[1], carried[0].version):
                continue
            if standing.paused:  # it may be resumed a moment before its slot
                self._wait_s = min(self._wait_s, self._again_s)
                continue
            wait_s = standing.wait_s
            if wait_s <= 0:
                self._begin(*carried, standing)
                wait_s = self._again_s  # somebody else may be at it, and die
            self._wait_s = min(self._wait_s, wait_s)
        if not self._calls:
            self._settled.set()

    async def tick_whole(self) -> None:
        """Work off what is due, and return when nothing more is."""
        again = True
        try:
            while again:
                await self.tick()
                while self._calls:
                    await asyncio.wait(self._calls.values())
                again, self._moved = self._moved, False
        finally:
            await self._cut_off()
        self._raise_error()

    async def first_pass(self) -> None:
        """As `Service.first_pass`."""
        await self._settled.wait()

    async def stop(self) -> None:
        """End; functions that are being called are cut off."""
        await super().stop()
        await self._cut_off()

    def _raise_error(self) -> None:
        """Hand what broke a call to the duty: it tells of it and starts again after a wait."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    async def _cut_off(self) -> None:
        calls = list(self._calls.values())
        for call in calls:
            call.cancel()
        if calls:
            await asyncio.wait(calls)

    def _pause_s(self) -> float:
        return self._wait_s

    # --- what the code says -----------------------------------------------------------------------

    async def _read(self) -> list[Standing]:
        async with self._session.use() as connection:
            found = await read_carried(connection, self._parts.pipelines)
        if self._defined:
            return found
        known = {(standing.pipeline, standing.name): standing for standing in found}
        for pipeline in self._parts.pipelines.values():
            if self._has_changed(pipeline, known):
                async with self._session.use() as connection:
                    await define_schedules(connection, pipeline)
        self._defined = True
        async with self._session.use() as connection:
            return await read_carried(connection, self._parts.pipelines)

    def _has_changed(
        self, pipeline: Pipeline[Any, Any], known: dict[tuple[str, str], Standing]
    ) -> bool:
        """Whether the table may have to learn something of a pipeline: mostly it has not."""
        mine = {(pipeline.name, name): one for name, one in pipeline.schedules.items()}
        others = [
            standing
            for key, standing in known.items()
            if key[0] == pipeline.name and key not in mine and not standing.dropped
        ]
        return bool(others) or any(
            key not in known or not known[key].is_as(schedule, pipeline.version)
            for key, schedule in mine.items()
        )

    # --- slots ------------------------------------------------------------------------------------

    def _begin(self, pipeline: Pipeline[Any, Any], schedule: Schedule, standing: Standing) -> None:
        address = schedule.address
        if address in self._calls:
            return
        work = self._work_off(pipeline, schedule, standing)
        call = asyncio.get_running_loop().create_task(work, name=f"schedule {address}")
        self._calls[address] = call
        call.add_done_callback(lambda done: self._ended(address, done))

    def _ended(self, address: str, call: asyncio.Task[bool]) -> None:
        self._calls.pop(address, None)
        if not self._calls:
            self._settled.set()
        if call.cancelled():
            return
        self._error = call.exception() or self._error
        if self._error is None and call.result():
            self._moved = True
        if self._error is not None or self._moved:
            self.wake()

    async def _work_off(
        self, pipeline: Pipeline[Any, Any], schedule: Schedule, standing: Standing
    ) -> bool:
        """Move on from slot to slot until none is due; whether it may be time for another look."""
        due, now = standing.next_slot, standing.now
        grace = timedelta(seconds=self._parts.limits.schedule_grace_s)
        for _ in range(PASS_MOST):
            move = next_move(schedule.cron, schedule.missed, due, now, grace)
            if move is None:
                break
            done = None
            if await self._take_duty(schedule):
                done = await self._make(pipeline, schedule, due, move)
            if done is None:
                return False  # the next look is soon enough
            due, now = move.next, done
        return True

    async def _take_duty(self, schedule: Schedule) -> bool:
        async with self._session.use() as connection:
            return await take_duty(
                connection,
                f"schedule {schedule.address}",
                worker=self._worker,
                lease=self._lease,
            )

    async def _make(
        self, pipeline: Pipeline[Any, Any], schedule: Schedule, due: datetime, move: Move
    ) -> datetime | None:
        """Do a move; the engine's time then, None where there is nothing more to do for now."""
        made: object = None
        try:
            if move.slot is not None:
                if not await self._may_call(schedule, due):
                    return None
                # Outside of the transaction: it is the user's, and may take its time.
                made = await self._call(pipeline, schedule, due, move.slot)
            done = await self._store(schedule, pipeline.version, due, move, made)
        except ScheduleFunctionError as error:
            await self._fail(schedule, due, move, error.problem)
            return None
        if done is None:
            return None
        now, job = done
        if job is not None and self._parts.broker is not None:
            self._parts.broker.echo(pipeline.queue)
        self._tell(schedule, due, move, now, job)
        return now

    async def _may_call(self, schedule: Schedule, due: datetime) -> bool:
        """Put the call on record; one that did not come back counts as a failure first."""
        async with self._session.use() as connection:
            is_lost = await begin_call(connection, schedule, due)
        if is_lost:
            raise ScheduleFunctionError(schedule.address, LOST)
        return is_lost is not None

    async def _call(
        self, pipeline: Pipeline[Any, Any], schedule: Schedule, due: datetime, slot: datetime
    ) -> object:
        """What the function makes; the duty is kept meanwhile, or others would take us for dead."""
        making = input_for(self._parts.client, pipeline, schedule, slot)
        call = asyncio.get_running_loop().create_task(making)
        try:
            while not (await asyncio.wait([call], timeout=self._lease.total_seconds() / 3))[0]:
                await self._take_duty(schedule)
            return await call
        except asyncio.CancelledError:
            with contextlib.suppress(DatabaseUnavailableError, TimeoutError):
                async with asyncio.timeout(STOP_S), self._session.use() as connection:
                    await end_call(connection, schedule, due)
            raise
        finally:
            call.cancel()
            await asyncio.wait([call])

    async def _store(
        self, schedule: Schedule, version: str, due: datetime, move: Move, made: object
    ) -> tuple[datetime, UUID | None] | None:
        job = None
        async with self._session.use() as connection, connection.transaction():
            now = await advance(connection, schedule, version, due, move)
            if now is None:
                return None
            hit("schedule.advanced")
            if move.slot is not None:
                try:
                    job = await submit_for(
                        self._parts.client, connection, schedule, move.slot, made, actor=ACTOR
                    )
                except HeadraceError as error:
                    raise ScheduleFunctionError(schedule.address, str(error)) from error
                hit("schedule.submitted")
                await record_slot(connection, schedule, move.slot, str(job))
            hit("schedule.before_commit")
        hit("schedule.after_commit")
        return now, job

    def _tell(
        self, schedule: Schedule, due: datetime, move: Move, now: datetime, job: UUID | None
    ) -> None:
        names = {"pipeline": schedule.pipeline, "schedule": schedule.name}
        by = self.worker_id
        if move.missed:
            emit(
                ScheduleMissed(
                    **names, worker_id=by, slots=move.missed, policy=schedule.missed, first=due
                )
            )
        if job is not None and move.slot is not None:
            late_ms = round(1_000 * (now - move.slot).total_seconds(), 3)
            emit(
                ScheduleFired(
                    **names, worker_id=by, slot=move.slot, job_id=job, schedule_latency_ms=late_ms
                )
            )

    async def _fail(self, schedule: Schedule, due: datetime, move: Move, problem: str) -> None:
        async with self._session.use() as connection:
            failure = await record_failure(
                connection, schedule, due, problem, first=RETRY_FIRST, most=RETRY_MOST
            )
        if failure is not None:
            emit(
                ScheduleFailed(
                    pipeline=schedule.pipeline,
                    schedule=schedule.name,
                    worker_id=self.worker_id,
                    slot=move.slot or due,
                    error=problem,
                    failures=failure.failures,
                    retry_in_s=round(failure.retry_in_s, 3),
                )
            )
