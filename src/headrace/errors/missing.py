"""What was named and does not exist, or not for this caller."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from headrace.errors.base import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence


class JobNotFoundError(NotFoundError):
    """No job has this id, or it belongs to somebody else."""

    code = "job_not_found"

    def __init__(self, job_id: object) -> None:
        super().__init__(job_id)
        self.job_id = job_id

    def __str__(self) -> str:
        return f"no job {self.job_id}"


class UnknownNameError(NotFoundError):
    """Nothing of this kind has this name; `known` are the names that exist."""

    kind, shown_by = "thing", ""

    def __init__(self, name: str, known: Sequence[str] = ()) -> None:
        super().__init__(name, known)
        self.name, self.known = name, tuple(known)

    def __str__(self) -> str:
        close = get_close_matches(self.name, self.known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else self.shown_by
        return f"no {self.kind} {self.name!r}{hint}"


class PipelineNotFoundError(UnknownNameError):
    """No pipeline of this app has this name."""

    code = "pipeline_not_found"
    kind = "pipeline"


class PresetNotFoundError(UnknownNameError):
    """The pipeline has no preset of this name."""

    code = "preset_not_found"
    kind = "preset"


class StepNotFoundError(UnknownNameError):
    """The pipeline has no step of this name."""

    code = "step_not_found"
    kind = "step"


class SignalNotFoundError(UnknownNameError):
    """No step of the pipeline waits for a signal of this name."""

    code = "signal_not_found"
    kind = "signal"

    def __str__(self) -> str:
        names = ", ".join(self.known) or "none"
        return f"{super().__str__()}; its pipeline waits for: {names}"


class QueueNotFoundError(UnknownNameError):
    """No job was ever submitted to a queue of this name."""

    code = "queue_not_found"
    kind = "queue"


class LockNotFoundError(NotFoundError):
    """Nobody holds the lock; `key` is its name."""

    code = "lock_not_found"

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key

    def __str__(self) -> str:
        return (
            f"nobody holds the lock {self.key!r}; `headrace locks list` shows those that are held"
        )


class BreakerNotFoundError(UnknownNameError):
    """No call has gone through a circuit breaker of this name yet."""

    code = "breaker_not_found"
    kind = "breaker"
    shown_by = "; `headrace breakers list` shows those that calls have used"


class ScheduleNotFoundError(UnknownNameError):
    """No schedule is called this, or this app has no code for it."""

    code = "schedule_not_found"
    kind = "schedule"
    shown_by = "; `headrace schedules list` shows those that there are"
