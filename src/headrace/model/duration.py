"""Durations as users write them: seconds or a timedelta."""

from __future__ import annotations

from datetime import timedelta
from typing import TypeAlias

Duration: TypeAlias = float | timedelta
"""Seconds (an int or a float) or a `timedelta`."""


def to_timedelta(
    duration: object, what: str, *, least: float = 0.0, most: float = float("inf")
) -> timedelta:
    """A duration as a timedelta.

    Args:
        duration: Seconds or a timedelta.
        what: The name of the option, for the error.
        least: Seconds; the smallest that is accepted.
        most: Seconds; the largest that is accepted.

    Raises:
        ValueError: Not a duration, or out of range.
    """
    if isinstance(duration, timedelta):
        seconds = duration.total_seconds()
    elif isinstance(duration, int | float) and not isinstance(duration, bool):
        seconds = float(duration)
    else:
        message = f"{what} is {duration!r}; write seconds or a timedelta"
        raise ValueError(message)  # noqa: TRY004 - callers handle one error
    if not least <= seconds <= most:  # NaN fails both comparisons
        raise ValueError(f"{what} is {seconds:g} s; write {least:g} to {most:,g} s")
    return timedelta(seconds=seconds)
