from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from datetime import timedelta

import pytest

from headrace.worker.timing import Timing


def seconds(timing: Timing) -> dict[str, float]:
    return {field.name: getattr(timing, field.name).total_seconds() for field in fields(timing)}


class TestDefaults:
    def test_they_are_those_of_the_design(self) -> None:
        assert seconds(Timing()) == {
            "lease": 30,
            "heartbeat": 3,
            "presence_grace": 5,
            "fence_no_new": 20,
            "fence_cancel": 30,
            "watchdog": 60,
            "reap": 1,
            "reconcile": 10,
            "poll": 5,
            "poll_error": 10,
            "silence": 60,
            "ring_again": 60,
            "ring_again_most": 900,
            "sweep": 10,
            "salvage": 60,
            "relay": 1,
            "janitor_lease": 10,
            "shutdown_grace": 30,
            "release": 2,
            "cancel_kill": 5,
            "transaction": 30,
            "suspect_first": 5,
            "suspect_next": 30,
            "reconnect_first": 0.1,
            "reconnect_most": 1,
            "restart_first": 0.5,
            "restart_most": 30,
            "wait_in_place": 1,
            "progress_after": 1,
        }

    def test_they_cannot_be_changed(self) -> None:
        with pytest.raises(FrozenInstanceError):
            Timing().lease = timedelta(seconds=1)  # type: ignore[misc]


class TestScaled:
    def test_every_duration_shrinks_by_the_same_factor(self) -> None:
        usual, fast = seconds(Timing()), seconds(Timing().scaled(1 / 15))
        assert fast == {name: pytest.approx(usual[name] / 15, abs=1e-6) for name in usual}
        assert fast["lease"] == 2

    def test_a_changed_duration_keeps_its_change(self) -> None:
        assert Timing(poll=timedelta(seconds=7)).scaled(2).poll == timedelta(seconds=14)

    @pytest.mark.parametrize("factor", [0, -1])
    def test_time_does_not_stand_still_or_run_backwards(self, factor: float) -> None:
        with pytest.raises(ValueError, match="longer than zero"):
            Timing().scaled(factor)


class TestContradictions:
    @pytest.mark.parametrize(
        ("changed", "rule"),
        [
            ({"lease": 8}, "lease must be at least three heartbeats"),
            ({"presence_grace": 3}, "presence_grace must exceed heartbeat"),
            ({"fence_no_new": 3}, "fence_no_new must exceed heartbeat"),
            ({"fence_cancel": 19}, "fence_cancel must not precede fence_no_new"),
            ({"fence_cancel": 31}, "fence_cancel must not exceed lease"),
            ({"suspect_next": 4}, "suspect_next must not precede suspect_first"),
            ({"reconnect_most": 0.05}, "reconnect_most is below reconnect_first"),
            ({"restart_most": 0.4}, "restart_most is below restart_first"),
            ({"reap": 0}, "reap must be longer than zero"),
        ],
    )
    def test_values_that_would_call_the_living_dead_are_refused(
        self, changed: dict[str, float], rule: str
    ) -> None:
        with pytest.raises(ValueError, match=rule):
            Timing(**{name: timedelta(seconds=value) for name, value in changed.items()})
