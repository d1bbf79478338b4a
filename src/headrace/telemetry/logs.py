"""Logs: the sink that writes events, and one way out for everybody else's lines.

`configure_logs` is called once by a process that headrace owns. From then on events, `ctx.log`,
structlog's loggers and the standard library's (asyncpg, asyncio, a user's code) give lines of one
form, masked and cut. structlog is imported then, not before.
"""

from __future__ import annotations

import atexit
import os
import sys
import traceback
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal, TextIO, TypeAlias, cast

from headrace.telemetry import tracing
from headrace.telemetry.bridges import OWN_FIELDS, bridge_logging, bridge_structlog, standard_log
from headrace.telemetry.events import Event, Level, add_sink, emit, field_names
from headrace.telemetry.lines import JsonLines, Line, Render, TextLines
from headrace.telemetry.masking import clean, clean_field, clean_text, clean_trace
from headrace.telemetry.store_events import LogLinesLost
from headrace.telemetry.writer import LineWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from headrace.model.context import StepLog

LogFormat: TypeAlias = Literal["json", "text"]
_current: Logs | None = None


class Logs:
    """The lines of this process, from `configure_logs` until `close`."""

    def __init__(self, render: Render, writer: LineWriter, level: Level) -> None:
        """Begin to write; made by `configure_logs`."""
        self._render = render
        self._writer = writer
        self._getters: dict[type[Event], tuple[tuple[str, ...], attrgetter[Any]]] = {}
        atexit.register(self.close)
        self._undo: list[Callable[[], object]] = [
            add_sink(self.write_event, level=level),
            bridge_logging(self.write, level),
            bridge_structlog(self.write, level),
        ]

    def write_event(self, event: Event) -> None:
        """Write an engine's event: its keys are known to be no secrets, its values are not."""
        kind = type(event)
        known = self._getters.get(kind)
        if known is None:
            known = self._getters[kind] = _getter(kind)
        names, values = known
        tracing_now = tracing.current
        fields = {} if tracing_now is None else tracing_now.log_fields()
        for name, value in zip(names, values(event), strict=True):
            if value is not None:
                fields[name] = clean(value) if name != "stack" else clean_trace(str(value))
        self._writer.write(self._render(Line(level=kind.level, message=kind.name, fields=fields)))

    def write(
        self,
        level: int,
        message: str,
        fields: Mapping[str, object],
        *,
        own: Mapping[str, object] | None = None,
        exception: BaseException | None = None,
    ) -> None:
        """Write one line of a user or a library; the engine's `own` fields win over equal names."""
        cleaned = {clean_text(key): clean_field(key, value) for key, value in fields.items()}
        if tracing.current is not None:
            cleaned |= tracing.current.log_fields()
        if own:
            cleaned |= {key: clean(value) for key, value in own.items()}
        trace = None if exception is None else clean_trace(_traceback(exception))
        line = Line(level=level, message=clean_text(message), fields=cleaned, trace=trace)
        self._writer.write(self._render(line))

    def flush(self, timeout: float = 1.0) -> bool:
        """Wait until all lines so far are written; False when that takes over `timeout` seconds."""
        return self._writer.flush(timeout)

    def close(self) -> None:
        """Write what waits and give logging back as it was found."""
        global _current  # noqa: PLW0603 - the one configuration of the process
        while self._undo:
            self._undo.pop()()
        self._writer.close()
        atexit.unregister(self.close)
        if _current is self:
            _current = None


def configure_logs(
    *,
    level: Level = Level.INFO,
    style: LogFormat | None = None,
    stream: TextIO | None = None,
    labels: Mapping[str, str] | None = None,
) -> Logs:
    """Write this process's events and logs as lines; an earlier configuration is closed first.

    Args:
        level: The least level that is written.
        style: `json`: one object a line with Cloud Logging's names. `text`: for people. None: text
            on a terminal, else json.
        stream: The standard output by default.
        labels: Put on every JSON line as Cloud Logging labels, for example version and worker.
    """
    global _current  # noqa: PLW0603
    if _current is not None:
        _current.close()
    target = stream if stream is not None else sys.stdout
    terminal = _is_terminal(target)
    if style is None:
        style = "text" if terminal else "json"
    render: Render = JsonLines(labels or {})
    if style == "text":
        render = TextLines(colours=terminal and "NO_COLOR" not in os.environ)
    writer = LineWriter(target, lost=lambda lines: emit(LogLinesLost(lines=lines)))
    _current = Logs(render, writer, level)
    return _current


def step_log(**own: object) -> StepLog:
    """Return the log that a step gets, bound to fields that its lines cannot overwrite.

    Where logs are not configured (headrace inside another program, tests), lines go to that
    program's structlog if it configured one, else to the standard library's `headrace.step`.
    """
    import structlog  # noqa: PLC0415 - 0.2 s, see `bridges`

    if _current is not None:
        return cast("StepLog", structlog.get_logger("headrace.step").bind(**{OWN_FIELDS: own}))
    if structlog.is_configured():
        return cast("StepLog", structlog.get_logger("headrace.step").bind(**own))
    return cast("StepLog", standard_log("headrace.step", own))


def flush_logs(timeout: float = 1.0) -> None:
    """Write what waits, for at most `timeout` seconds; call it before `os._exit`."""
    if _current is not None:
        _current.flush(timeout)


def _getter(kind: type[Event]) -> tuple[tuple[str, ...], attrgetter[Any]]:
    """Read all fields of an event at once; `name` in front makes it a tuple for a single one."""
    names = field_names(kind)
    return ("event", *names), attrgetter("name", *names)


def _traceback(exception: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(exception)).rstrip()
    except Exception:  # noqa: BLE001 - an exception whose own text cannot be made
        return f"{type(exception).__name__} (its text cannot be shown)"


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False
