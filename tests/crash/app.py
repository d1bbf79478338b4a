"""The application that the workers of the crash run load: `headrace worker tests.crash.app:app`."""

from __future__ import annotations

from typing import Any

from headrace import Headrace
from headrace.worker.timing import Timing
from headrace.worker.worker import Worker
from tests.crash import patient
from tests.crash.steps import ALL, scale


class ScaledHeadrace(Headrace):
    """Lives at the speed of HEADRACE_CRASH_SCALE."""

    def worker(self, *, timing: Timing | None = None, **options: Any) -> Worker:
        """As `Headrace.worker`."""
        timing = timing or self.settings.timing().scaled(scale)
        return super().worker(timing=timing, **options)


pipelines: list[Any] = [*ALL, *patient.ALL]
app = ScaledHeadrace(pipelines)
