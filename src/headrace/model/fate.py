"""What becomes of a value that is sent to a job."""

from __future__ import annotations

from enum import StrEnum


class Fate(StrEnum):
    """What became of a value that was sent."""

    STORED = "stored"
    """It is the first."""
    SAME = "same"
    """It stood already."""
    OTHER = "other"
    """Another one stands."""
    LATE = "late"
    """The time was over before it came."""
    ENDED = "ended"
    """The job has ended, and nothing was stored."""
    MISSING = "missing"
    """There is no such job."""
    STALE = "stale"
    """The step that sends it has lost the job."""

    @property
    def stands(self) -> bool:
        """Whether the value is the one that counts."""
        return self in {Fate.STORED, Fate.SAME}
