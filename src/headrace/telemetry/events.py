"""Typed events, the one way in which the engine tells what it does.

Code says `emit(JobStarted(...))`; logs, metrics and traces are sinks. Where an event would be
built thousands of times a second, `enabled(StepStarted)` is asked first: it costs 0.03 us and
is false when no sink wants that event. Where only counters want it, `counting(StepStarted)` gives
them, and it is counted without being built: building costs twice what counting does.
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, fields
from enum import IntEnum
from types import MappingProxyType
from typing import ClassVar, Final, Protocol, TypeAlias, TypeVar, dataclass_transform


class Level(IntEnum):
    """How much an event matters; the numbers are those of the standard library's `logging`."""

    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40
    CRITICAL = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of all events. A field that is None is left out of logs."""

    name: ClassVar[str]
    """What logs and metrics call it: `job_started` for `JobStarted`."""
    level: ClassVar[Level]
    """One level per class, so that a sink's wish is settled once and not per event."""


Sink: TypeAlias = Callable[[Event], None]
"""Receives events on the thread that emitted them: it must return at once and never wait."""


class Tally(Protocol):
    """A sink that can also count events that were not built."""

    def __call__(self, event: Event, /) -> None:
        """Take an event."""

    def count(self, kind: type[Event], values: tuple[object, ...], ms: float = 0.0) -> None:
        """Count an event of a kind.

        Args:
            kind: Its class.
            values: Its name, and those of its fields that are labels, in their order.
            ms: How long it took, where events of this kind tell that.
        """


_EventT = TypeVar("_EventT", bound=Event)
_known: dict[str, type[Event]] = {}
_sinks: tuple[tuple[Sink, Level, frozenset[type[Event]] | None], ...] = ()
_routes: dict[type[Event], tuple[Sink, ...]] = {}  # replaced as a whole, so reading needs no lock
_counted: dict[type[Event], Tally] = {}
_reported: set[int] = set()
_changing = threading.Lock()

EVENTS: Final = MappingProxyType(_known)
"""Every event class whose module was imported, by name."""


@dataclass_transform(frozen_default=True, kw_only_default=True)
def event(level: Level) -> Callable[[type[_EventT]], type[_EventT]]:
    """Make a class a frozen, slotted event of this level, named after the class."""

    def register(declared: type[_EventT]) -> type[_EventT]:
        made = dataclass(frozen=True, slots=True, kw_only=True)(declared)
        made.name = _snake_case(made.__name__)
        made.level = level
        with _changing:
            _known[made.name] = made
            _route()
        return made

    return register


def enabled(event_class: type[Event]) -> bool:
    """Tell whether any sink wants this event, so that it need not be built for nobody."""
    return event_class in _routes


def counting(event_class: type[Event]) -> Tally | None:
    """What counts an event that nobody else wants, so that it need not be built."""
    return _counted.get(event_class)


def emit(event: Event) -> None:
    """Hand an event to every sink whose level admits it.

    Never raises and never waits: telemetry must not stop the work. The first failure of each sink
    is shown on standard error.
    """
    for sink in _routes.get(type(event), ()):
        try:
            sink(event)
        except Exception:  # noqa: BLE001 - whatever a sink does, the engine goes on
            _report_once(sink)


def add_sink(
    sink: Sink, *, level: Level = Level.INFO, kinds: Iterable[type[Event]] | None = None
) -> Callable[[], None]:
    """Send every event of `level` and above to `sink`.

    Args:
        sink: What takes them.
        level: The least level.
        kinds: Only these classes; all others are not built because of this sink.

    Returns:
        A function that removes the sink again; calling it twice does no harm.
    """
    global _sinks  # noqa: PLW0603 - the one registry of the process
    entry = (sink, level, None if kinds is None else frozenset(kinds))
    with _changing:
        _sinks = (*_sinks, entry)
        _route()

    def remove() -> None:
        global _sinks  # noqa: PLW0603
        with _changing:
            _sinks = tuple(kept for kept in _sinks if kept is not entry)
            _route()

    return remove


def field_names(event_class: type[Event]) -> tuple[str, ...]:
    """Return the names of an event's fields, in the order in which logs show them."""
    return tuple(field.name for field in fields(event_class))


def _route() -> None:
    """Work out who gets what; called under the lock."""
    global _routes, _counted  # noqa: PLW0603
    wanted = {
        known: tuple(
            sink
            for sink, level, kinds in _sinks
            if known.level >= level and (kinds is None or known in kinds)
        )
        for known in _known.values()
    }
    _routes = {known: sinks for known, sinks in wanted.items() if sinks}
    alone = {known: sinks[0] for known, sinks in _routes.items() if len(sinks) == 1}
    _counted = {known: one for known, one in alone.items() if hasattr(one, "count")}


def _report_once(sink: Sink) -> None:
    if id(sink) in _reported:
        return
    _reported.add(id(sink))
    with suppress(Exception):
        traceback.print_exc(file=sys.__stderr__)


def _snake_case(name: str) -> str:
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in name).lstrip("_")
