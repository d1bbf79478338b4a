"""One execution of a step or item."""

from __future__ import annotations

import asyncio
import inspect
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Literal

import orjson

from headrace.worker.place import surroundings_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

    from headrace.model.context import JsonValue
    from headrace.model.pipeline import Pipeline
    from headrace.model.step import Step
    from headrace.reliability.surroundings import Surroundings
    from headrace.worker.context import StepTransaction
    from headrace.worker.run import JobRun

METADATA_MOST: Final = 16_384
"""Bytes of what a step says of itself."""

Cause = Literal["timeout", "cancel", "stale", "shutdown", "unreachable", "limit"]


@dataclass(slots=True, eq=False)
class Attempt:
    """One execution of a step or item, from its start to its outcome.

    Attributes:
        item: The item's key; empty for a step that runs once.
        number: Which try it is, from 1.
        started: Monotonic time of the start.
        deadline: Monotonic time at which it is cancelled.
        cause: Why the engine cancelled it; None while it did not.
        cancelled_at: Monotonic time of the first cancel.
        abandoned: It ignored its cancel: whatever it still does is refused.
        shown: Whether a row of `progress` shows it.
        note: What the step last said of its progress: done, total, note.
        names: The names that `once` was called with.
        submitted: How many jobs it has submitted.
        children: The pipelines of those of them that are bound to the step, by id.
        child: The job whose result is to be fetched; None for a call of the step.
        metadata: What the step said of itself.
    """

    run: JobRun
    step: Step
    item: str
    number: int
    started: float
    deadline: float
    cause: Cause | None = None
    cancelled_at: float | None = None
    abandoned: bool = False
    shown: bool = False
    note: tuple[int, int | None, str] | None = None
    names: AbstractSet[str] = frozenset()
    submitted: int = 0
    children: dict[str, Pipeline[Any, Any]] | None = None
    child: str | None = None
    metadata: dict[str, JsonValue] | None = None
    task: asyncio.Task[None] | None = None
    transaction: StepTransaction | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Its step and item."""
        return self.step.name, self.item

    @property
    def refused(self) -> bool:
        """Whether nothing that it still does may be stored."""
        return self.abandoned or self.run.dead

    def surroundings(self) -> Surroundings:
        """What is around it, for the shared primitives that its step uses."""
        return surroundings_of(self)

    def remaining(self) -> timedelta:
        """The time until the step is stopped, by its limit or the job's."""
        limit_at = self.run.limit_at
        until = self.deadline if limit_at is None else min(self.deadline, limit_at)
        return timedelta(seconds=max(0.0, until - monotonic()))

    @property
    def metadata_text(self) -> str | None:
        """What the step said of itself, as it is stored."""
        return None if self.metadata is None else orjson.dumps(self.metadata).decode()

    def annotate(self, more: Mapping[str, JsonValue]) -> None:
        """Take in what the step says of itself.

        Raises:
            ValueError: It is not JSON, or too much.
        """
        metadata = {**(self.metadata or {}), **more}
        try:
            size = len(orjson.dumps(metadata))
        except TypeError as error:
            raise ValueError(f"annotate({', '.join(more)}): {error}") from error
        if size > METADATA_MOST:
            raise ValueError(
                f"annotate({', '.join(more)}): {size:,} bytes in all are more than "
                f"{METADATA_MOST:,}; what is large belongs into the output"
            )
        self.metadata = metadata

    def cancel(self, cause: Cause, now: float) -> None:
        """Tell the step to stop; the first cause stands."""
        if self.cause is None:
            self.cause, self.cancelled_at = cause, now
            if self.task is not None:
                _cancel(self.task)


def _cancel(task: asyncio.Task[None]) -> None:
    """Cancel a task; one that has not begun begins first, or nobody would tell that it ended."""
    if inspect.getcoroutinestate(task.get_coro()) == inspect.CORO_CREATED:  # type: ignore[arg-type]
        task.get_loop().call_soon(task.cancel)
    else:
        task.cancel()
