"""What a worker does, drawn from its events: running jobs with their steps, and how jobs ended."""

from __future__ import annotations

import io
import threading
from collections import Counter, deque
from dataclasses import dataclass, field
from functools import singledispatchmethod
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from headrace.cli.output import text_of
from headrace.telemetry import job_events, step_events
from headrace.telemetry.events import Event, Level, add_sink

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self
    from uuid import UUID

MOST_RUNNING: Final = 15
MOST_ENDED: Final = 5
STYLES: Final = {"completed": "green", "failed": "red", "cancelled": "yellow"}


@dataclass(slots=True)
class _Running:
    """A job that this worker runs."""

    pipeline: str
    since: float
    steps: Counter[str] = field(default_factory=Counter)
    """Steps that run, with how many items of each."""
    done: int = 0
    last: str = ""
    """The step that ended last."""

    def describe(self) -> str:
        """What runs, and what is done."""
        steps = [f"{step} ×{count}" if count > 1 else step for step, count in self.steps.items()]
        done = f"{self.done} done, the last {self.last}" if self.done else "none done"
        return text_of("; ".join([*steps, done]))


class Board:
    """Shows on a terminal what happens in this process; log lines scroll by above it."""

    def __init__(self, stream: Any) -> None:  # noqa: ANN401 - a text stream
        """Nothing is drawn before the `with` block."""
        self.console = Console(file=stream, highlight=False)
        self._guard = threading.Lock()
        self._running: dict[UUID, _Running] = {}
        self._ended: deque[tuple[str, str, UUID, float]] = deque(maxlen=MOST_ENDED)
        self._counts: Counter[str] = Counter()
        self._live = Live(get_renderable=self.draw, console=self.console, refresh_per_second=5)

    def __enter__(self) -> Self:
        self._remove = add_sink(self.take, level=Level.DEBUG)
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._remove()
        self._live.stop()

    def take(self, event: Event) -> None:
        """Note an event; from whatever thread."""
        with self._guard:
            self._note(event)

    @singledispatchmethod
    def _note(self, event: Event) -> None:
        """Most events change nothing that is shown."""

    @_note.register(job_events.JobStarted)
    @_note.register(job_events.JobClaimed)
    def _(self, event: job_events.JobEvent) -> None:
        self._running[event.job_id] = _Running(event.pipeline, monotonic())

    @_note.register
    def _(self, event: step_events.StepStarted) -> None:
        job = self._running.get(event.job_id)
        if job is not None:
            job.steps[event.step] += 1

    @_note.register(step_events.StepCompleted)
    @_note.register(step_events.StepSkipped)
    @_note.register(step_events.StepFailed)
    def _(self, event: step_events.StepEvent) -> None:
        job = self._running.get(event.job_id)
        if job is not None:
            job.steps[event.step] -= 1
            job.steps += Counter()  # drops what is at zero
            job.last = event.step
            job.done += not isinstance(event, step_events.StepFailed)

    @_note.register
    def _(self, event: job_events.JobCompleted) -> None:
        self._end(event, "completed", event.job_latency_ms)

    @_note.register(job_events.JobFailed)
    @_note.register(job_events.JobTimeout)
    def _(self, event: job_events.JobFailed | job_events.JobTimeout) -> None:
        self._end(event, "failed", event.job_latency_ms)

    @_note.register
    def _(self, event: job_events.JobCancelled) -> None:
        self._end(event, "cancelled", event.job_latency_ms)

    @_note.register(job_events.JobRetryScheduled)
    @_note.register(job_events.JobDeferred)
    @_note.register(job_events.JobReleased)
    def _(self, event: job_events.JobEvent) -> None:
        self._running.pop(event.job_id, None)

    def _end(self, event: job_events.JobEvent, how: str, took_ms: float) -> None:
        self._running.pop(event.job_id, None)
        self._counts[how] += 1
        self._ended.append((how, event.pipeline, event.job_id, took_ms))

    def draw(self) -> Group:
        """The board as it is now."""
        with self._guard:
            return Group(Text(self._summary(), style="bold"), self._ended_rows(), self._rows())

    def _summary(self) -> str:
        counts = [f"{self._counts[how]} {how}" for how in STYLES]
        return f"{len(self._running)} running, {', '.join(counts)}   (Ctrl-C ends)"

    def _ended_rows(self) -> Table:
        table = Table(box=None, pad_edge=False, show_header=False)
        for how, pipeline, job, took_ms in self._ended:
            text = f"{how} after {took_ms / 1000:.2f} s"
            table.add_row(Text(f"  {text_of(pipeline)}"), Text(str(job)), Text(text, STYLES[how]))
        return table

    def _rows(self) -> Table:
        table = Table(box=None, pad_edge=False, show_header=False)
        now = monotonic()
        for job, running in list(self._running.items())[:MOST_RUNNING]:
            table.add_row(
                Text(f"  {text_of(running.pipeline)}"),
                Text(str(job)),
                Text(f"{now - running.since:.1f} s", "cyan"),
                Text(running.describe()),
            )
        left = len(self._running) - MOST_RUNNING
        if left > 0:
            table.add_row(Text(f"  and {left} more"))
        return table


class ConsoleStream(io.TextIOBase):
    """Writes lines above what a console draws in place."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def isatty(self) -> bool:
        """As the console."""
        return self._console.is_terminal

    def write(self, text: str) -> int:
        """Write whole lines; their colours are kept."""
        self._console.print(Text.from_ansi(text.rstrip("\n")), soft_wrap=True)
        return len(text)
