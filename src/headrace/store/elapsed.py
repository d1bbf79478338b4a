"""How much time went by, by a clock of this machine that nobody sets."""

from __future__ import annotations

import time


def clock_s() -> float:
    """Seconds that only go forward, also while the machine sleeps where the system can tell."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()
