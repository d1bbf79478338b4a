"""One line for each event, whatever its fields hold, and nothing in it that steers a terminal."""

from __future__ import annotations

import dataclasses
import io
import json

import pytest

from headrace.telemetry.events import Event, Level, emit
from headrace.telemetry.logs import configure_logs
from tests.telemetry.counting import declared, made

FORGERIES = {
    "newline": 'a\n{"severity":"CRITICAL","message":"forged"}\r\n',
    "ansi": "a\x1b[2J\x1b]0;title\x07\x9b31m",
    "fragment": '"}, {"severity": "ERROR", "x": "',
    "braces": "{event} %s %(levelname)s {0.__class__} }}{{",
    "separators": "a\u2028b\u2029c\x85d\u202egnol",
    "nul and surrogate": "a\0b\ud800c",
}
STEERING = {*map(chr, range(32)), *map(chr, range(0x7F, 0xA0)), "\u2028", "\u2029", "\u202e"}


def written(events: list[Event], style: str) -> list[str]:
    stream = io.StringIO()
    logs = configure_logs(level=Level.DEBUG, style=style, stream=stream)  # type: ignore[arg-type]
    for event in events:
        emit(event)
    logs.close()
    return stream.getvalue().split("\n")[:-1]


def forged(text: str) -> list[Event]:
    """An event of every kind, with the text in each field that can hold text."""
    events = []
    for kind in declared():
        texts = {
            field.name: text
            for field in dataclasses.fields(kind)
            if str(field.type).startswith("str")
        }
        events.append(made(kind, **texts))
    return events


@pytest.mark.parametrize("text", FORGERIES.values(), ids=FORGERIES)
class TestForgedFields:
    """O1: one line for each event, and none that was not told."""

    def test_each_event_is_one_json_object_that_says_what_was_given(self, text: str) -> None:
        events = forged(text)
        lines = [json.loads(line) for line in written(events, "json")]
        assert [line["event"] for line in lines] == [event.name for event in events]
        assert {line["severity"] for line in lines} <= {level.name for level in Level}
        assert not any(line["message"] == "forged" for line in lines)

    def test_each_event_is_one_line_of_text_without_control_characters(self, text: str) -> None:
        events = forged(text)
        lines = written(events, "text")
        assert len(lines) == len(events)
        assert STEERING.isdisjoint("".join(lines))
