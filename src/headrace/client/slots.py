"""From a slot to its input and its job: what workers and operators do alike."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from headrace.client.encoding import encode_input
from headrace.errors import InputError, ScheduleFunctionError
from headrace.telemetry.masking import mask_shapes

if TYPE_CHECKING:
    from datetime import datetime

    from headrace.client.client import Client
    from headrace.model.pipeline import Pipeline
    from headrace.model.schedule import Schedule
    from headrace.store.pool import HeldConnection

LIMIT_S: Final = 20.0
"""Seconds that the function of a schedule may take."""
TEXT_MOST: Final = 2_000


async def input_for(
    client: Client,
    pipeline: Pipeline[Any, Any],
    schedule: Schedule,
    slot: datetime,
    *,
    limit_s: float = LIMIT_S,
) -> object:
    """What the function of a schedule makes for a slot.

    Plain functions run in a thread. One that takes too long is left behind there; its result is
    thrown away.

    Raises:
        ScheduleFunctionError: It failed, took longer than `limit_s`, or made no input.
    """
    limit = asyncio.timeout(limit_s)
    try:
        async with limit:
            made = await _call(schedule, schedule.cron.local(slot))
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise ScheduleFunctionError(schedule.address, "it cancelled itself") from error
    except Exception as error:  # it is the user's: whatever it raises is shown
        problem = f"{type(error).__name__}: {error}"
        if limit.expired():
            problem = f"it took longer than {limit_s:g} s"
        raise ScheduleFunctionError(schedule.address, _shown(problem)) from error
    try:
        encode_input(pipeline, made, client.submitter.payload_most)
    except InputError as error:
        raise ScheduleFunctionError(schedule.address, _shown(str(error))) from error
    return made


async def _call(schedule: Schedule, slot: datetime) -> object:
    if schedule.is_async:
        return await schedule.function(slot)
    loop = asyncio.get_running_loop()
    made: asyncio.Future[object] = loop.create_future()

    def settle(value: object, error: Exception | None) -> None:
        if made.done():
            return
        if error is None:
            made.set_result(value)
        else:
            made.set_exception(error)

    def run() -> None:
        value, problem = None, None
        try:
            value = schedule.function(slot)
        except Exception as error:  # noqa: BLE001 - told to the caller
            problem = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, value, problem)

    # Not of a pool: one that hangs must not keep the process from ending.
    threading.Thread(target=run, name=f"schedule {schedule.address}", daemon=True).start()
    return await made


def _shown(problem: str) -> str:
    """A problem as it is stored and shown: short, without secrets."""
    text = mask_shapes(problem[: 2 * TEXT_MOST])[:TEXT_MOST]
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\0")


async def submit_for(
    client: Client,
    connection: HeldConnection,
    schedule: Schedule,
    slot: datetime,
    made: object,
    *,
    actor: str,
) -> UUID:
    """Store the job of a slot, in the transaction of a connection.

    Its metadata tell the schedule and the slot.
    """
    job = await client.submit(
        schedule.pipeline,
        made,
        tenant=schedule.tenant,
        owner=schedule.owner,
        metadata={
            "schedule": schedule.address,
            "slot": schedule.cron.local(slot).isoformat(),
        },
        actor=actor,
        connection=connection,
    )
    return UUID(job.id)
