"""Where code runs that uses a shared primitive: in which step, on which database.

A breaker or a limit is made when a module is imported and knows no database. What it needs is set
around each attempt of a step, and goes along into the threads and tasks that the step starts.
"""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from headrace.errors import DefinitionError
from headrace.store.breakers import Rules

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator, Mapping
    from datetime import timedelta
    from uuid import UUID

    from headrace.model.context import JsonValue
    from headrace.reliability.hub import Hub
    from headrace.store.pool import Pool

BREAKER_RULES: Final = Rules()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is around a call.

    Attributes:
        pool: Connections of the process.
        loop: The loop that they belong to; a thread asks it.
        hub: Tells of changes that other processes make.
        tenant: Whose work it is.
        owner: The user inside the tenant.
        worker: Whose life the call's locks and slots are bound to; None outside of a worker.
        job: The job; None outside of a step, like all that follows.
        token: Under which the job is held.
        step: The step's name.
        item: The item's key; empty in a step that runs once.
        attempt: Which try this is, from 1, those that were put off counted.
        remaining: Tells how long the step may still take.
        annotate: Stores a fact beside the step's output.
        breaker_rules: Of breakers that say nothing else themselves.
    """

    pool: Pool
    loop: asyncio.AbstractEventLoop
    hub: Hub
    tenant: str
    owner: str
    worker: int | None = None
    job: UUID | None = None
    run: int | None = None
    token: int | None = None
    step: str | None = None
    item: str | None = None
    attempt: int | None = None
    remaining: Callable[[], timedelta] | None = None
    annotate: Callable[[Mapping[str, JsonValue]], None] | None = None
    breaker_rules: Rules = BREAKER_RULES


class Place(Protocol):
    """Makes the surroundings when they are asked for: most steps never do."""

    def surroundings(self) -> Surroundings:
        """What is around.

        Raises:
            DefinitionError: Nothing that is shared can be reached from here.
        """


@dataclass(frozen=True, slots=True)
class Somewhere:
    """A place whose surroundings are known."""

    around: Surroundings

    def surroundings(self) -> Surroundings:
        """What is around."""
        return self.around


class _Nowhere:
    """Outside of any step and app."""

    def surroundings(self) -> Surroundings:
        raise DefinitionError(
            "a shared primitive",
            "it was used outside of a step: use it in a step, or inside `async with "
            'app.primitives(tenant="..."):`',
            "NOT_IN_STEP",
        )


PLACE: Final[ContextVar[Place]] = ContextVar("place", default=_Nowhere())  # noqa: B039 - it holds nothing


def surroundings() -> Surroundings:
    """What is around this call.

    Raises:
        DefinitionError: It is made outside of a step, or in a step's own process.
    """
    return PLACE.get().surroundings()


@contextlib.contextmanager
def placed(place: Place) -> Iterator[None]:
    """Code in the block, and what it starts, is at this place."""
    before = PLACE.set(place)
    try:
        yield
    finally:
        PLACE.reset(before)
