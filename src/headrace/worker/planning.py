"""Works out the items of a fan-out, which are stored before the first one starts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from headrace.errors import ItemsError
from headrace.worker.arguments import UnreadableError, source_text
from headrace.worker.outcomes import Failed, Interrupted, Outcome, Parked, Planned, read_error
from headrace.worker.stored import write_plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.worker.attempt import Attempt
    from headrace.worker.engine import Engine


async def plan(
    attempt: Attempt, engine: Engine, ended: Callable[[Attempt, Outcome, str | None], None]
) -> None:
    """Work out one plan, and tell its outcome; never raises."""
    ended(attempt, await _plan(attempt, engine), None)


async def _plan(attempt: Attempt, engine: Engine) -> Outcome:
    each = attempt.step.each
    assert each is not None  # noqa: S101 - for the type checker
    if attempt.run.undoing is not None:
        return Planned(write_plan(attempt.run.undoing.items_of(attempt)))
    try:
        source = await source_text(attempt.run, each.source_step, engine)
        return Planned(write_plan(each.plan(source, limit=engine.limits.fan_out_most)))
    except ItemsError as error:
        return Failed("permanent", "ITEMS", str(error), retried=False)
    except UnreadableError as error:
        return Parked(str(error))
    except asyncio.CancelledError:
        return Interrupted()
    except BaseException as error:  # noqa: BLE001 - key= is the user's code
        return read_error(error, attempt.step)
