"""Pipelines with schedules, and what tests ask of them; also imported by worker processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from headrace import Pipeline
from headrace.store.schedules import ScheduleStatus
from headrace.telemetry.events import Event, Level, add_sink
from headrace.telemetry.schedule_events import ScheduleEvent
from headrace.testing import Engine

Missed = Literal["skip", "once", "all"]
NAME = "reports.tick"
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def pipeline(name: str = "reports", version: str = "1.0.0") -> Pipeline[str, str]:
    """One that returns what it is given: the time of the slot."""
    made = Pipeline(name, version=version, input=str, output=str)

    @made.step
    def write(day: str) -> str:
        return day

    return made


def scheduled(
    cron: str = "0 * * * *",
    *,
    timezone: str = "UTC",
    missed: Missed = "once",
    version: str = "1.0.0",
) -> Pipeline[str, str]:
    """One with a single schedule, `tick`, whose jobs have the slot's time as their input."""
    made = pipeline(version=version)

    @made.schedule(cron, timezone=timezone, missed=missed)
    def tick(slot: datetime) -> str:
        return slot.isoformat()

    return made


reports = scheduled("*/10 * * * *", missed="all")


async def clock(engine: Engine) -> datetime:
    async with engine.connection() as connection:
        now: datetime = await connection.fetchval("select headrace.now()")
    return now


async def move_to(engine: Engine, moment: datetime) -> None:
    await engine.move_clock(moment - await clock(engine))


async def slots(engine: Engine, name: str = "tick") -> list[datetime]:
    """The slots that have jobs, in order."""
    async with engine.connection() as connection:
        rows = await connection.fetch(
            "select slot from headrace.schedule_slots where schedule = $1 order by slot", name
        )
    return [row["slot"] for row in rows]


async def inputs(engine: Engine) -> list[str]:
    """What the jobs were given, in the order of their submission."""
    return [str(job.input) for job in await engine.jobs()]


def next_change(zone: str, *, spring: bool, after: datetime | None = None) -> datetime:
    """When the clocks of a zone go forward the next time, or back, to the minute."""
    moment = (after or datetime.now(UTC)).replace(minute=0, second=0, microsecond=0) + DAY
    local = ZoneInfo(zone)

    def offset(at: datetime) -> timedelta:
        found = at.astimezone(local).utcoffset()
        assert found is not None
        return found

    while True:
        following = moment + timedelta(minutes=30)
        change = offset(following) - offset(moment)
        if change and (change > timedelta()) == spring:
            return following
        moment = following


@contextmanager
def told() -> Iterator[list[Event]]:
    """The events of schedules that are told meanwhile."""
    events: list[Event] = []

    def note(event: Event) -> None:
        if isinstance(event, ScheduleEvent):
            events.append(event)

    remove = add_sink(note, level=Level.DEBUG)
    try:
        yield events
    finally:
        remove()


async def status(engine: Engine) -> ScheduleStatus:
    return (await engine.app.schedules.show(NAME)).schedule


async def begin(engine: Engine) -> datetime:
    """Define the schedules a second after an hour, so that no slot passes by itself; the hour."""
    hour = await full_hour(engine)
    await engine.run_schedules()
    return hour


async def full_hour(engine: Engine) -> datetime:
    """Let it be an hour in the morning, a second after it, tomorrow; returns the hour."""
    hour = (await clock(engine)).replace(hour=6, minute=0, second=0, microsecond=0) + DAY
    await move_to(engine, hour + timedelta(seconds=1))
    return hour


async def audited(engine: Engine) -> list[tuple[str, str]]:
    async with engine.connection() as connection:
        rows = await connection.fetch("select action, target from headrace.admin_audit order by id")
    return [tuple(row) for row in rows]


def deadly() -> Pipeline[str, str]:
    """One whose schedule ends the process that calls its function."""
    made = pipeline("deadly")

    @made.schedule("* * * * *")
    def end(slot: datetime) -> str:  # noqa: ARG001 - what a schedule takes
        os._exit(9)

    return made


fatal = deadly()
