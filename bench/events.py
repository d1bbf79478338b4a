"""The event file of a worker, read. No I/O."""

from collections.abc import Sequence
from typing import NamedTuple


class Event(NamedTuple):
    """One line: `mark` counts starts; `start` and `end` are of one job."""

    word: str
    number: int
    time: float
    pid: int


def parse(text: str) -> list[Event]:
    """The events of a file; a last line still being written is left out."""
    lines = text[: text.rfind("\n") + 1].splitlines()
    return [
        Event(word, int(number), float(time), int(pid))
        for word, number, time, pid in (line.split() for line in lines)
    ]


def mark(events: Sequence[Event], count: int) -> Event | None:
    """The first event that says that `count` starts were made, None if not yet."""
    return next((event for event in events if event[:2] == ("mark", count)), None)


def starts(events: Sequence[Event], besides: frozenset[int] = frozenset()) -> dict[int, float]:
    """First start of each job, in processes other than `besides`."""
    first: dict[int, float] = {}
    for event in events:
        if event.word == "start" and event.pid not in besides:
            first.setdefault(event.number, event.time)
    return first


def in_flight(events: Sequence[Event]) -> int:
    """Jobs that started and have not ended."""
    return sum({"start": 1, "end": -1}.get(event.word, 0) for event in events)
