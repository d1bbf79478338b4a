"""Schedules, as operators see and steer them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headrace.client.slots import input_for, submit_for
from headrace.errors import ScheduleNotFoundError
from headrace.store import schedules as store
from headrace.store.audit import Action, record_action
from headrace.store.jobs import read_clock
from headrace.telemetry.events import emit
from headrace.telemetry.schedule_events import (
    SchedulePaused,
    ScheduleResumed,
    ScheduleTriggered,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from headrace.client.client import Client
    from headrace.model.pipeline import Pipeline
    from headrace.model.schedule import Schedule
    from headrace.store.connections import Connections
    from headrace.store.schedules import ScheduleStatus, SlotJob


@dataclass(frozen=True, slots=True)
class ShownSchedule:
    """A schedule, and the jobs of its last slots, the latest first."""

    schedule: ScheduleStatus
    slots: list[SlotJob]


class Schedules:
    """What submits jobs by the clock: listed, paused, resumed, triggered."""

    def __init__(
        self,
        client: Client,
        connections: Connections,
        echo: Callable[[str], None],
    ) -> None:
        """Nothing is asked before the first call.

        Args:
            client: Submits.
            connections: Where all is read and written.
            echo: Wakes workers of a queue where the database's own notification does not.
        """
        self._client, self._connections, self._echo = client, connections, echo

    async def list(
        self, *, pipeline: str | None = None, limit: int = store.MOST
    ) -> list[ScheduleStatus]:
        """Every schedule that a worker has ever defined, by pipeline and name."""
        async with self._connections.use() as connection:
            return await store.list_schedules(connection, pipeline=pipeline, limit=limit)

    async def show(self, address: str, *, slots: int = store.SLOTS_SHOWN) -> ShownSchedule:
        """A schedule with the jobs of its last slots.

        Args:
            address: Pipeline and name, as `reports.nightly`.
            slots: How many of them.

        Raises:
            ScheduleNotFoundError: There is none.
        """
        async with self._connections.use() as connection:
            found = await store.find_schedule(connection, address)
            return ShownSchedule(found, await store.list_slots(connection, found, limit=slots))

    async def pause(
        self, address: str, *, reason: str | None = None, actor: str = "user"
    ) -> ScheduleStatus:
        """Let its slots pass without jobs until it is resumed; the schedule as it is then.

        Raises:
            ScheduleNotFoundError: There is none.
        """
        async with self._connections.use() as connection, connection.transaction():
            found = await store.pause_schedule(connection, address, by=actor, reason=reason)
            await record_action(connection, Action(actor, "schedule.pause", address, reason))
        tell_paused(found, actor=actor, reason=reason)
        return found

    async def resume(
        self, address: str, *, reason: str | None = None, actor: str = "user"
    ) -> tuple[ScheduleStatus, bool]:
        """Let it go on with its next slot; those that passed meanwhile have no jobs.

        Returns:
            The schedule as it is then, and whether it was paused.

        Raises:
            ScheduleNotFoundError: There is none.
        """
        async with self._connections.use() as connection, connection.transaction():
            found, resumed = await store.resume_schedule(connection, address)
            await record_action(connection, Action(actor, "schedule.resume", address, reason))
        if resumed:
            tell_resumed(found, actor=actor, reason=reason)
        return found, resumed

    async def trigger(
        self,
        address: str,
        *,
        reason: str | None = None,
        actor: str = "user",
        request: str | None = None,
    ) -> UUID:
        """Submit a job for the present moment, besides those of the slots; also while it is paused.

        The function of the schedule is called here, so this app must carry its pipeline.

        Args:
            address: Pipeline and name, as `reports.nightly`.
            reason: Kept in the audit, as all of these.
            actor: Who asks for it.
            request: The id of the request that asks for it.

        Returns:
            The job.

        Raises:
            ScheduleNotFoundError: This app has no such schedule.
            ScheduleFunctionError: Its function failed, or made no input.
        """
        pipeline, schedule = self.carried(address)
        async with self._connections.use() as connection:
            now = await read_clock(connection)
        made = await input_for(self._client, pipeline, schedule, now)
        async with self._connections.use() as connection, connection.transaction():
            job = await submit_for(self._client, connection, schedule, now, made, actor=actor)
            await store.record_trigger(
                connection, schedule, now, str(job), actor=actor, reason=reason
            )
            after = {"job": str(job)}
            done = Action(actor, "schedule.trigger", address, reason, request, after=after)
            await record_action(connection, done)
        emit(
            ScheduleTriggered(
                pipeline=schedule.pipeline,
                schedule=schedule.name,
                job_id=job,
                actor=actor,
                reason=reason,
            )
        )
        self._echo(pipeline.queue)
        return job

    def carried(self, address: str) -> tuple[Pipeline[Any, Any], Schedule]:
        """A schedule of this app's code.

        Raises:
            ScheduleNotFoundError: It has none of this name.
        """
        name, _, schedule = address.rpartition(".")
        pipeline = self._client.pipelines.get(name)
        if pipeline is not None and schedule in pipeline.schedules:
            return pipeline, pipeline.schedules[schedule]
        known = [
            one.address
            for carried in self._client.pipelines.values()
            for one in carried.schedules.values()
        ]
        raise ScheduleNotFoundError(address, known)


def tell_paused(found: ScheduleStatus, *, actor: str, reason: str | None) -> None:
    """Tell of it, once it is committed."""
    emit(SchedulePaused(pipeline=found.pipeline, schedule=found.name, actor=actor, reason=reason))


def tell_resumed(found: ScheduleStatus, *, actor: str, reason: str | None) -> None:
    """Tell of it, once it is committed."""
    emit(ScheduleResumed(pipeline=found.pipeline, schedule=found.name, actor=actor, reason=reason))
