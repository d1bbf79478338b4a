"""The checker of breakers finds what is planted, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.proof.breakers import Bounds, Call, check_breaker

START = datetime(2026, 1, 1, tzinfo=UTC)
BOUNDS = Bounds(
    overshoot=timedelta(seconds=1),
    open_for=timedelta(seconds=30),
    failures=2,
    within=timedelta(seconds=60),
    successes=2,
    probe_timeout=timedelta(seconds=20),
)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def call(
    let: float, ended: float | None, *, failed: bool = False, since: float | None = None
) -> Call:
    return Call(
        1,
        at(let if since is None else since),
        at(let),
        None if ended is None else at(ended),
        failed,
    )


def change(seconds: float, before: str, after: str, probes: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "at": at(seconds),
        "from_state": before,
        "to_state": after,
        "probes": probes,
        "actor": None,
        **more,
    }


CHANGES = [
    change(10, "closed", "open"),
    change(41, "open", "half_open"),
    change(43, "half_open", "open", 1),
    change(74, "open", "half_open"),
    change(80, "half_open", "closed", 2),
]
CALLS = [
    call(2, 3),
    call(8, 9, failed=True),
    call(8.5, 9.9, failed=True),
    call(8.7, 15, failed=True),  # it was under way
    call(10.6, 11, failed=True),  # nobody had told its process yet
    call(41.1, 42.9, failed=True),
    call(74.1, 75),
    call(76, 79.9),
    call(81, 82),
    call(81, None),
]


def told(changes: list[dict[str, Any]], calls: list[Call]) -> list[str]:
    found = list(check_breaker(changes, calls, BOUNDS))
    assert all(violation.invariant == "I24" for violation in found)
    return [violation.text for violation in found]


class TestSound:
    def test_what_is_as_promised_passes(self):
        assert told(CHANGES, CALLS) == []

    def test_so_does_what_a_frozen_process_was_let_before(self):
        assert told(CHANGES, [*CALLS, call(30, 31, since=9.5)]) == []

    def test_so_does_what_operators_do(self):
        by_hand = [
            change(90, "closed", "open", actor="ann"),
            change(91, "open", "closed", actor="ann"),
        ]
        assert told([*CHANGES, *by_hand], CALLS) == []

    def test_so_does_a_try_in_the_place_of_one_that_takes_too_long(self):
        calls = [*CALLS[:6], call(74.1, None), call(94.2, 95)]
        ends = [*CHANGES[:4], change(99, "half_open", "open", 2)]
        assert told(ends, calls) == []


class TestPlanted:
    @pytest.mark.parametrize(
        ("planted", "text"),
        [
            (call(11.5, 12), "1 calls were let through while it was open"),
            (call(60, 61), "1 calls were let through while it was open"),
            (call(42.95, 42.97), "2 calls were let through while it was half open, 1 were tried"),
            (call(74.5, 76), "3 calls were let through while it was half open, 2 were tried"),
        ],
    )
    def test_a_call_too_many_is_found(self, planted: Call, text: str):
        assert text in told(CHANGES, [*CALLS, planted])

    def test_two_tries_at_a_time_are_found(self):
        calls = [
            replace(one, let_from=at(74.5), let_at=at(74.5)) if one.let_at == at(76) else one
            for one in CALLS
        ]
        assert told(CHANGES, calls) == ["two calls were tried at a time"]

    @pytest.mark.parametrize(
        ("place", "planted", "text"),
        [
            (1, change(30, "open", "half_open"), "a call was tried before its time"),
            (
                1,
                change(41, "closed", "half_open"),
                "it went from closed to half_open when it was open",
            ),
            (4, change(80, "half_open", "closed", 1), "it closed after 1 calls"),
            (4, change(70, "half_open", "closed", 2), "a change lies before the one before it"),
        ],
    )
    def test_a_wrong_way_is_found(self, place: int, planted: dict[str, Any], text: str):
        assert text in told([*CHANGES[:place], planted, *CHANGES[place + 1 :]], CALLS)

    def test_an_opening_without_its_failures_is_found(self):
        calls = [one for one in CALLS if one.let_at != at(8)]
        assert told(CHANGES, calls) == ["it opened after 1 failures"]
