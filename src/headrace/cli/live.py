"""A job as it goes: a table that changes on a terminal, a line for each change elsewhere."""

from __future__ import annotations

import asyncio
import re
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, Self, TextIO, TypeAlias

import typer

from headrace.cli.exits import ExitCode
from headrace.cli.output import text_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from headrace.client import Client
    from headrace.client.status import JobStatus
    from headrace.model.job import JobState
    from headrace.model.status import ItemStatus, SignalStatus, StepStatus, WaitStatus

Style: TypeAlias = Literal["auto", "json", "none"]
FIRST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 0.5
GROWTH: Final = 1.5
MARKS: Final = {
    "pending": "·",
    "running": "▶",
    "completed": "✓",
    "failed": "✗",
    "skipped": "-",
}
STYLES: Final = {"failed": "red", "running": "yellow", "completed": "green"}
MOST_ITEMS: Final = 10
"""Of a fan-out whose items are shown one by one."""
NAMELESS: Final = re.compile(r"\d+|[0-9a-f]{16}")
"""The key of an item that nobody named: its place or its hash."""


class View(Protocol):
    """Shows the status of a job again and again."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End, and leave the last state on the screen."""

    def show(self, status: JobStatus) -> None:
        """Show the status."""


def view_on(stream: TextIO, style: Style = "auto") -> View:
    """The view that fits a stream, or the one that was asked for."""
    if style == "none":
        return NoView()
    if style == "json":
        return JsonView(stream)
    return TableView(stream) if stream.isatty() else LineView(stream)


class NoView:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to leave."""

    def show(self, status: JobStatus) -> None:
        """Nothing to show."""


class JsonView:
    """Writes the whole status as a line of JSON whenever it has changed."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._last: JobStatus | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.flush()

    def show(self, status: JobStatus) -> None:
        """Write it, unless it is what was written last."""
        import orjson

        if status != self._last:
            self._last = status
            self._stream.write(f"{orjson.dumps(status, option=orjson.OPT_UTC_Z).decode()}\n")
            self._stream.flush()


class LineView:
    """Writes a line for each change."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._seen: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.flush()

    def show(self, status: JobStatus) -> None:
        """Write what differs from the last time."""
        self._say("", f"job {status.id} {describe_job(status)}")
        for signal in status.signals:
            self._say(f"signal {signal.name}", f"  {describe_signal(signal)}")
        for step in status.steps:
            waits = waits_of(status, step)
            if step.state != "pending" or waits:
                self._say(step.name, f"  {step.name} {describe_step(step, waits)}")
            for item in shown_items(step):
                waits = waits_of(status, step, item.key)
                if item.state != "pending" or waits:
                    key = f"{step.name}/{item.key}"
                    self._say(key, f"    {text_of(item.key)} {describe_item(item, waits)}")

    def _say(self, key: str, line: str) -> None:
        if self._seen.get(key) != line:
            self._seen[key] = line
            self._stream.write(f"{line}\n")
            self._stream.flush()


class TableView:
    """Draws the job and its steps in place."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(console=Console(file=stream, highlight=False), refresh_per_second=8)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, status: JobStatus) -> None:
        """Draw."""
        self._live.update(job_table(status), refresh=True)


def job_table(status: JobStatus) -> Any:  # noqa: ANN401 - something that rich draws
    """The job and its steps for a terminal."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    title = Text(f"{status.pipeline} {status.version}  {status.id}  {describe_job(status)}")
    table = Table(box=None, pad_edge=False, show_header=False)
    for step in status.steps:
        style = STYLES.get(step.state, "dim")
        mark = MARKS.get(step.state, "?")
        words = describe_step(step, waits_of(status, step))
        table.add_row(Text(f" {mark} {step.name}", style=style), Text(words))
        for item in shown_items(step):
            style = STYLES.get(item.state, "dim")
            name = f"   {MARKS.get(item.state, '?')} {text_of(item.key)}"
            words = describe_item(item, waits_of(status, step, item.key))
            table.add_row(Text(name, style=style), Text(words))
    signals = [Text(f" {describe_signal(signal)}", style="dim") for signal in status.signals]
    return Group(title, table, *signals)


def describe_job(status: JobStatus) -> str:
    """The job's state in a few words."""
    words = [str(status.state)]
    if status.run > 1:
        words.append(f"(run {status.run})")
    if status.state == "queued" and status.wait_reason:
        words.append(f"({status.wait_reason}{_due(status)})")
        if status.blocked_by:
            words.append(f"blocked by its {status.blocked_by.replace('_', ' ')}")
    if status.cause:
        words.append(f"({status.cause})")
    if status.state == "failed" and status.error:
        words.append(f": {status.error.message}")
    if status.state == "running" and status.cancel_requested_at:
        words.append("(being cancelled)")
    return text_of(" ".join(words).replace(" :", ":"))


def _due(status: JobStatus) -> str:
    """When it is due, where that says something: what waits for a child looks at times only."""
    return "" if status.wait_reason == "child" else f", due {text_of(status.due_at)}"


def waits_of(status: JobStatus, step: StepStatus, item: str | None = None) -> list[str]:
    """What a step, or one item of it, waits for besides its inputs, in a few words each."""
    waits = [wait for wait in status.waits if wait.step == step.name]
    if step.items is None or item is not None:
        return [describe_wait(wait) for wait in waits if wait.item == item]
    more = " or more" if status.waits_total > len(status.waits) else ""
    jobs = "child job" if len(waits) == 1 else "child jobs"
    return [f"waits for {len(waits)}{more} {jobs}"] if waits else []


def describe_wait(wait: WaitStatus) -> str:
    """What is waited for, in a few words."""
    if wait.kind == "delay":
        return f"starts at {text_of(wait.until)}"
    if wait.kind == "child":
        what = ", ".join(filter(None, (wait.pipeline, wait.state)))
        return f"waits for job {wait.name}{f' ({what})' if what else ''}"
    return f"waits for signal {wait.name} until {text_of(wait.until)}"


def describe_signal(signal: SignalStatus) -> str:
    """What was sent, or did not come in time, in a few words."""
    if signal.state == "expired":
        return text_of(f"signal {signal.name} had not come by {text_of(signal.at)}")
    by = f" from {signal.by}" if signal.by else ""
    return text_of(f"signal {signal.name} came{by} at {text_of(signal.at)}")


def describe_step(step: StepStatus, waits: Sequence[str] = ()) -> str:
    """The step's state in a few words."""
    words = [str(step.state)]
    if step.items is not None:
        done = sum(item.state in {"completed", "skipped"} for item in step.items)
        words.append(f"{done} of {len(step.items)} items")
        failed = sum(item.state == "failed" for item in step.items)
        if failed:
            words.append(f"({failed} failed)")
    progress = step.progress
    if progress is not None and progress.done is not None:
        words.append(f"{progress.done}{f' of {progress.total}' if progress.total else ''}")
    if progress is not None and progress.note:
        words.append(progress.note)
    if step.state == "completed" and step.latency_ms is not None:
        words.append(f"in {step.latency_ms:,.1f} ms")
    if step.reused_from is not None:
        words.append(f"(of run {step.reused_from})")
    if step.reason:
        words.append(f"({step.reason})")
    if step.error is not None:
        words.append(f"(try {step.attempts}: {step.error.message})")
    return _with_waits(words, waits)


def _with_waits(words: Sequence[str], waits: Sequence[str]) -> str:
    return text_of(", ".join([" ".join(words), *waits]))


def shown_items(step: StepStatus) -> Sequence[ItemStatus]:
    """The items of a fan-out that are shown: those that have names, where they are few.

    Of others, the first that failed for good.
    """
    items = step.items or ()
    if len(items) > MOST_ITEMS or all(NAMELESS.fullmatch(item.key) for item in items):
        return failed_items(step)
    return items


def failed_items(step: StepStatus) -> Sequence[ItemStatus]:
    """The first items that failed for good, where the job could do without them."""
    items = step.items or ()
    return [item for item in items if item.error and item.finished_at][:MOST_ITEMS]


def describe_item(item: ItemStatus, waits: Sequence[str] = ()) -> str:
    """An item's state in a few words."""
    words = [str(item.state)]
    if item.state == "completed" and item.latency_ms is not None:
        words.append(f"in {item.latency_ms:,.1f} ms")
    if item.reused_from is not None:
        words.append(f"(of run {item.reused_from})")
    if item.reason:
        words.append(f"({item.reason})")
    if item.error is not None:
        words.append(f"(try {item.attempts}: {item.error.message})")
    return _with_waits(words, waits)


class Pace(Protocol):
    """Says when to look at a job again."""

    async def wait(self, *, is_new: bool) -> None:
        """Return then; `is_new` tells whether the last look showed something new."""


class GrowingPace:
    """Looks after 50 ms, and ever more seldom while nothing changes, up to twice a second."""

    def __init__(self) -> None:
        self._pause_s = FIRST_PAUSE_S

    async def wait(self, *, is_new: bool) -> None:
        """Wait for the present pause."""
        self._pause_s = FIRST_PAUSE_S if is_new else min(self._pause_s * GROWTH, LONGEST_PAUSE_S)
        await asyncio.sleep(self._pause_s)


async def watch(
    client: Client, job: str, view: View, pace: Pace, *, timeout_s: float | None
) -> JobState:
    """Show a job until it has ended.

    Returns:
        Its last state.

    Raises:
        TimeoutError: It has not ended in time; it goes on.
        JobNotFoundError: There is no such job.
    """
    last = None
    async with asyncio.timeout(timeout_s):
        while True:
            status = await client.status(job)
            view.show(status)
            if status.is_final:
                return status.state
            await pace.wait(is_new=status != last)
            last = status


async def watch_to_exit(
    client: Client,
    job: str,
    *,
    timeout_s: float | None,
    stream: TextIO | None = None,
    style: Style = "auto",
) -> ExitCode:
    """Show a job until it has ended; the exit code that tells how."""
    from headrace.cli.remote import RemoteApp

    asked: object = client  # of a command with --api it is no client of a database
    paces = asked.pace(job) if isinstance(asked, RemoteApp) else nullcontext(GrowingPace())
    async with paces as pace:
        with view_on(stream or sys.stderr, style) as view:
            try:
                state = await watch(client, job, view, pace, timeout_s=timeout_s)
            except TimeoutError:
                typer.echo(f"headrace: job {job} has not ended within {timeout_s:g} s", err=True)
                return ExitCode.TIMEOUT
    return EXITS[state]


EXITS: Final = {
    "completed": ExitCode.DONE,
    "failed": ExitCode.JOB_FAILED,
    "cancelled": ExitCode.JOB_CANCELLED,
}
