"""One round of deletion for a service where nobody works just now: as a scheduler asks for it."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from headrace.store.pool import connect
from headrace.store.session import ENGINE_SETTINGS, Session
from headrace.worker.janitor import Janitor
from headrace.worker.upkeep import upkeep

if TYPE_CHECKING:
    from headrace.worker.parts import Parts

NOBODY: Final = 0
"""The worker that does it: none that is registered."""


@dataclass(slots=True)
class Cleaned:
    """What a round deleted.

    Attributes:
        removed: Jobs, checkpoints, answers to keys, audit, files of outputs, ended workers.
        complete: Whether the time was enough.
    """

    removed: int = 0
    complete: bool = False


async def clean_up(parts: Parts, *, within_s: float) -> Cleaned:
    """Delete once what is old enough, whether it is anybody's turn or not.

    Args:
        parts: Of a worker; none of its jobs run.
        within_s: Seconds after which it ends, complete or not.

    Raises:
        DatabaseUnavailableError: No server answered.
    """
    session = Session(
        lambda: connect(parts.direct_dsn, name="headrace cleanup", settings=ENGINE_SETTINGS)
    )
    done = Cleaned()
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                for service in upkeep(parts, NOBODY, session):
                    if isinstance(service, Janitor):
                        await _count(service, done)
                done.complete = True
    finally:
        session.close()
    return done


async def _count(janitor: Janitor, done: Cleaned) -> None:
    async for removed in janitor.clean_up():
        done.removed += removed
