"""Schedules: which slot is next, what became of those before, and who may go on to the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from headrace.errors import InvalidError, ScheduleNotFoundError
from headrace.model.cron import Cron
from headrace.store.jobs import read_clock
from headrace.store.sql import SQL
from headrace.store.workers import affected

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime, timedelta
    from uuid import UUID

    from headrace.model.pipeline import Pipeline
    from headrace.model.schedule import Schedule
    from headrace.model.slots import Move
    from headrace.store.pool import HeldConnection

State: TypeAlias = Literal["active", "paused", "failing", "overdue", "not carried"]
PAGE: Final = 500
MOST: Final = 1_000
SLOTS_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class Standing:
    """A schedule as a worker reads it, to see what is due.

    Attributes:
        version: The newest version of the pipeline that has defined it.
        next_slot: The slot that is next.
        retry_at: Before which its function is not called again.
        now: The engine's time when it was read.
    """

    pipeline: str
    name: str
    version: str
    cron: str
    timezone: str
    missed: str
    tenant: str
    owner: str
    next_slot: datetime
    last_slot: datetime | None
    retry_at: datetime | None
    paused: bool
    dropped: bool
    now: datetime

    @property
    def wait_s(self) -> float:
        """Seconds until there is something to do; 0 or less when there is now."""
        due_at = self.next_slot if self.retry_at is None else max(self.next_slot, self.retry_at)
        return (due_at - self.now).total_seconds()

    def is_as(self, schedule: Schedule, version: str) -> bool:
        """Whether it is all that a version of the code says: then its workers go on with it."""
        return not self.dropped and self._says == (
            version,
            schedule.cron.text,
            schedule.cron.timezone,
            schedule.missed,
            schedule.tenant,
            schedule.owner,
        )

    @property
    def _says(self) -> tuple[str, ...]:
        return self.version, self.cron, self.timezone, self.missed, self.tenant, self.owner


@dataclass(frozen=True, slots=True)
class ScheduleStatus:
    """A schedule as people read it.

    Attributes:
        address: What commands and routes call it: `reports.nightly`.
        state: `active`; `paused`; `failing`: its function, or the input that it made; `overdue`:
            for five minutes no worker has done anything about its slot; `not carried`: the newest
            version of its pipeline has it no more.
        missed: The policy.
        version: The version of the pipeline that says all this.
        next_slot: The slot that is next.
        last_slot: The last one that has a job.
        last_job: That job.
        missed_slots: Slots that have none because they were missed.
        failures: Of the function, since the last job.
        retry_at: When it is called again at the earliest.
    """

    address: str
    pipeline: str
    name: str
    state: State
    cron: str
    timezone: str
    missed: str
    version: str
    tenant: str
    owner: str
    next_slot: datetime
    last_slot: datetime | None
    last_job: UUID | None
    missed_slots: int
    failures: int
    error: str | None
    retry_at: datetime | None
    paused_at: datetime | None
    paused_by: str | None
    pause_reason: str | None
    dropped_at: datetime | None
    created_at: datetime
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class SlotJob:
    """The job of a slot; `state` is None once the job was deleted."""

    slot: datetime
    job: UUID
    state: str | None
    fired_at: datetime
    triggered_by: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Failure:
    """How often in a row a schedule has failed, and when it is tried again."""

    failures: int
    retry_in_s: float


# --- what code defines ----------------------------------------------------------------------------


async def read_carried(connection: HeldConnection, pipelines: Iterable[str]) -> list[Standing]:
    """The schedules of some pipelines."""
    rows = await connection.fetch(SQL["schedules.carried"], list(pipelines))
    return [Standing(*row) for row in rows]


async def define_schedules(connection: HeldConnection, pipeline: Pipeline[object, object]) -> None:
    """Store what a version of a pipeline says of its schedules, unless a newer one has spoken.

    Slots of a new schedule, or of one whose times have changed, count from now on.
    """
    async with connection.transaction():
        now = await read_clock(connection)
        known = await read_carried(connection, [pipeline.name])
        # A clock that was set back must not bring slots again that have their jobs.
        last = {standing.name: standing.last_slot for standing in known if standing.last_slot}
        for schedule in pipeline.schedules.values():
            await connection.execute(
                SQL["schedules.define"],
                pipeline.name,
                schedule.name,
                pipeline.version,
                schedule.cron.text,
                schedule.cron.timezone,
                schedule.missed,
                schedule.tenant,
                schedule.owner,
                schedule.cron.after(max(now, last.get(schedule.name, now))),
            )
        names = list(pipeline.schedules)
        await connection.execute(
            SQL["schedules.drop_others"], pipeline.name, pipeline.version, names
        )


# --- slots ----------------------------------------------------------------------------------------


async def advance(
    connection: HeldConnection, schedule: Schedule, version: str, due: datetime, move: Move
) -> datetime | None:
    """Go on from the slot `due`, in the caller's transaction.

    Returns:
        The engine's time; None where somebody else has gone on, paused or changed the schedule.
    """
    cron = schedule.cron
    now: datetime | None = await connection.fetchval(
        SQL["schedules.advance"],
        schedule.pipeline,
        schedule.name,
        due,
        move.next,
        move.missed,
        version,
        cron.text,
        cron.timezone,
    )
    return now


async def record_slot(
    connection: HeldConnection, schedule: Schedule, slot: datetime, job: str
) -> None:
    """Keep which job a slot has, in the transaction that stores the job."""
    await connection.execute(
        SQL["schedules.record_slot"], schedule.pipeline, schedule.name, slot, job
    )


async def begin_call(connection: HeldConnection, schedule: Schedule, due: datetime) -> bool | None:
    """Put on record that the function is called: whoever dies of it has left a trace.

    Returns:
        Whether a call before has not come back; None where somebody else has gone on meanwhile.
    """
    lost: bool | None = await connection.fetchval(
        SQL["schedules.begin_call"], schedule.pipeline, schedule.name, due
    )
    return lost


async def end_call(connection: HeldConnection, schedule: Schedule, due: datetime) -> None:
    """Take the record of a call back: whoever stops in good order has not died of it."""
    await connection.execute(SQL["schedules.end_call"], schedule.pipeline, schedule.name, due)


async def record_failure(
    connection: HeldConnection,
    schedule: Schedule,
    due: datetime,
    error: str,
    *,
    first: timedelta,
    most: timedelta,
) -> Failure | None:
    """Keep why a slot has no job yet; None where somebody else has gone on meanwhile."""
    row = await connection.fetchrow(
        SQL["schedules.record_failure"],
        schedule.pipeline,
        schedule.name,
        due,
        error,
        first,
        most,
    )
    return None if row is None else Failure(*row)


async def record_trigger(
    connection: HeldConnection,
    schedule: Schedule,
    slot: datetime,
    job: str,
    *,
    actor: str,
    reason: str | None,
) -> None:
    """Keep which job an operator asked for, in the transaction that stores it."""
    await connection.execute(
        SQL["schedules.record_trigger"],
        schedule.pipeline,
        schedule.name,
        slot,
        job,
        actor,
        reason,
    )


async def prune_slots(connection: HeldConnection, *, age: timedelta, limit: int = PAGE) -> int:
    """Delete some of the slots that are older than this; returns how many."""
    async with connection.transaction():
        await connection.execute(SQL["retention.allow_deletion"])
        return affected(await connection.execute(SQL["schedules.prune_slots"], age, limit))


# --- operators ------------------------------------------------------------------------------------


async def list_schedules(
    connection: HeldConnection, *, pipeline: str | None = None, limit: int = MOST
) -> list[ScheduleStatus]:
    """Every schedule that a worker has ever defined, by pipeline and name."""
    rows = await connection.fetch(SQL["schedules.list_schedules"], pipeline, None, limit)
    return [ScheduleStatus(**row) for row in rows]


async def find_schedule(connection: HeldConnection, address: str) -> ScheduleStatus:
    """A schedule by what commands call it.

    Raises:
        ScheduleNotFoundError: There is none.
    """
    pipeline, _, name = address.rpartition(".")
    row = await connection.fetchrow(SQL["schedules.list_schedules"], pipeline, name, 1)
    if row is None:
        known = await connection.fetch(SQL["schedules.list_schedules"], None, None, MOST)
        raise ScheduleNotFoundError(address, [row["address"] for row in known])
    return ScheduleStatus(**row)


async def list_slots(
    connection: HeldConnection, found: ScheduleStatus, *, limit: int = SLOTS_SHOWN
) -> list[SlotJob]:
    """The jobs of its last slots, the latest first."""
    rows = await connection.fetch(SQL["schedules.list_slots"], found.pipeline, found.name, limit)
    return [SlotJob(**row) for row in rows]


async def pause_schedule(
    connection: HeldConnection, address: str, *, by: str, reason: str | None
) -> ScheduleStatus:
    """Let slots pass without jobs from now on; the schedule as it is then.

    Raises:
        ScheduleNotFoundError: There is none.
    """
    found = await find_schedule(connection, address)
    await connection.execute(SQL["schedules.pause"], found.pipeline, found.name, by, reason)
    return await find_schedule(connection, address)


async def resume_schedule(connection: HeldConnection, address: str) -> tuple[ScheduleStatus, bool]:
    """Go on with the next slot from now on, in a transaction of the caller's.

    Slots that passed while it was paused have no jobs, and its failures are forgotten.

    Returns:
        The schedule as it is then, and whether it was paused.

    Raises:
        ScheduleNotFoundError: There is none.
        InvalidError: This machine does not know its time zone.
    """
    found = await find_schedule(connection, address)
    held = await connection.fetchrow(SQL["schedules.hold"], found.pipeline, found.name)
    if held is None or held["paused_at"] is None:
        return found, False
    try:
        cron = Cron(held["cron"], held["timezone"])
    except ValueError as error:  # of another machine, with other zones
        raise InvalidError(f"{address} cannot go on from here: {error}") from error
    following = cron.after(max(held["now"], found.last_slot or held["now"]))
    await connection.execute(SQL["schedules.resume"], found.pipeline, found.name, following)
    return await find_schedule(connection, address), True
