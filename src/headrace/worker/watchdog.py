"""Ends a process whose main loop stands still, and says which step holds it.

The loop ticks; the thread of the presence counts. A step that blocks the loop for a while costs no
lease, but one that never returns would keep its jobs for ever.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Final

from headrace.store.elapsed import clock_s
from headrace.telemetry.events import emit
from headrace.telemetry.logs import flush_logs
from headrace.telemetry.worker_events import LoopStalled
from headrace.worker.lease import StallMeter

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Collection, Iterator, Mapping
    from types import CodeType, FrameType
    from uuid import UUID

    from headrace.worker.timing import Timing

EXIT_CODE: Final = 70
"""Of a process whose loop stood still; its supervisor starts another."""
TICK_S: Final = 0.5
STACK_FRAMES: Final = 40
FLUSH_S: Final = 1.0


class Watchdog:
    """Watches one loop from another thread."""

    def __init__(
        self,
        worker_id: str,
        timing: Timing,
        *,
        steps: Callable[[], Collection[tuple[UUID, str]]],
        functions: Mapping[CodeType, str],
    ) -> None:
        """Nothing is watched before `start`.

        Args:
            worker_id: The worker, for the event.
            timing: Its `watchdog` is the limit.
            steps: The jobs and steps that run; asked from the watching thread.
            functions: Names of the steps, as `step` or `pipeline.step`, by the code of their
                functions: finds in the loop's stack the one that holds it.
        """
        self._worker_id, self._steps, self._functions = worker_id, steps, functions
        self._limit_s = timing.watchdog.total_seconds()
        self._tick_s = min(TICK_S, self._limit_s / 8)
        self._meter = StallMeter(longest_step_s=2 * self._tick_s, now_s=clock_s())
        self._ticks = 0
        self._thread = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def period_s(self) -> float:
        """Seconds between two ticks; `check` is to be called about as often."""
        return self._tick_s

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let `loop`, which runs in the calling thread, tick."""
        self._loop, self._thread = loop, threading.get_ident()
        self._tick()

    def stop(self) -> None:
        """Watch no more; called on the loop."""
        self._loop = None
        if self._timer is not None:
            self._timer.cancel()

    def check(self) -> None:
        """Look at the loop, from another thread; does not return once it stands still for good."""
        still = self._meter.observe(self._ticks, clock_s())
        if self._loop is not None and still >= self._limit_s:
            self._end(still)

    def _tick(self) -> None:
        self._ticks += 1
        if self._loop is not None:
            self._timer = self._loop.call_later(self._tick_s, self._tick)

    def _end(self, still_s: float) -> None:
        try:
            frame = sys._current_frames().get(self._thread)  # noqa: SLF001 - there is no other way
            step = self._step_of(frame)
            emit(
                LoopStalled(
                    worker_id=self._worker_id,
                    stalled_s=round(still_s, 1),
                    stack=_text_of(frame),
                    step=step,
                    job_id=self._job_of(step),
                )
            )
            flush_logs(FLUSH_S)
        finally:
            os._exit(EXIT_CODE)  # nothing else ends a thread that does not return

    def _step_of(self, frame: FrameType | None) -> str | None:
        named = (self._functions.get(code) for code in _codes_of(frame))
        found = next((name for name in named if name is not None), None)
        if found is None:
            running = {step for _job, step in self._steps()}
            return running.pop() if len(running) == 1 else None
        return found

    def _job_of(self, step: str | None) -> str | None:
        if step is None:
            return None
        name = step.rpartition(".")[2]
        jobs = {str(job) for job, running in self._steps() if running == name}
        return jobs.pop() if len(jobs) == 1 else None


def _codes_of(frame: FrameType | None) -> Iterator[CodeType]:
    while frame is not None:
        yield frame.f_code
        frame = frame.f_back


def _text_of(frame: FrameType | None) -> str:
    if frame is None:
        return "the thread has no frame"
    return "".join(traceback.format_stack(frame, limit=None)[-STACK_FRAMES:])
