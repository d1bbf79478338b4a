"""The events that the engine tells during a test."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TypeVar

from headrace.telemetry.events import Event, Level, add_sink

E = TypeVar("E", bound=Event)


class Told(list[Event]):
    """All events, in order."""

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self if isinstance(event, kind)]


@contextlib.contextmanager
def listening() -> Iterator[Told]:
    """Collect what is told inside a `with` block."""
    told = Told()
    remove = add_sink(told.append, level=Level.DEBUG)
    try:
        yield told
    finally:
        remove()
