"""What a worker may still do, judged by its own clock: pure arithmetic on seconds.

The database alone decides whether a lease is over. A worker that cannot ask it must stop in time by
itself, so it counts from the *start* of its last good renewal, when its lease was the shorter one.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import timedelta


class Standing(StrEnum):
    """What a worker may do with the lease that it last saw."""

    HELD = "held"
    """Everything."""
    NO_NEW = "no_new"
    """Finish what runs, start no new step."""
    CANCEL = "cancel"
    """Cancel running steps; results that are finished are kept for the database's return."""


class LeaseClock:
    """Tells from the times of renewals what the worker may do."""

    def __init__(self, *, no_new_after: timedelta, cancel_after: timedelta, now_s: float) -> None:
        """A lease that begins now.

        Args:
            no_new_after: Without a renewal for so long, no new step.
            cancel_after: Without a renewal for so long, no step at all.
            now_s: The present reading of the clock whose readings the methods take.
        """
        self._no_new_s = no_new_after.total_seconds()
        self._cancel_s = cancel_after.total_seconds()
        self._renewed_s = now_s

    def renewed(self, began_s: float) -> None:
        """Note a renewal that the database confirmed and that was *sent* at `began_s`."""
        self._renewed_s = max(self._renewed_s, began_s)

    def unrenewed_s(self, now_s: float) -> float:
        """Seconds since the start of the last good renewal."""
        return max(0.0, now_s - self._renewed_s)

    def standing(self, now_s: float) -> Standing:
        """What the worker may do at `now_s`."""
        unrenewed = self.unrenewed_s(now_s)
        if unrenewed >= self._cancel_s:
            return Standing.CANCEL
        return Standing.NO_NEW if unrenewed >= self._no_new_s else Standing.HELD


class StallMeter:
    """Measures for how long a loop has not ticked, in time in which its observer was awake.

    A process that was frozen as a whole wakes with a loop that looks long dead; only what passed in
    steps that the observer saw is counted.
    """

    def __init__(self, *, longest_step_s: float, now_s: float) -> None:
        self._longest_step_s = longest_step_s
        self._observed_s = now_s
        self._ticks = -1
        self._still_s = 0.0

    def observe(self, ticks: int, now_s: float) -> float:
        """Seconds without a tick, when the loop has ticked `ticks` times in its life."""
        step = min(now_s - self._observed_s, self._longest_step_s)
        self._observed_s = now_s
        self._still_s = 0.0 if ticks != self._ticks else self._still_s + step
        self._ticks = ticks
        return self._still_s
