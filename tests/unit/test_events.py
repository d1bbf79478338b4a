from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, dataclass
from pathlib import Path
from uuid import UUID

import pytest

from headrace.telemetry import (
    breaker_events,
    gate_events,
    identity_events,
    job_events,
    limit_events,
    lock_events,
    messaging_events,
    operation_events,
    outbox_events,
    request_events,
    schedule_events,
    step_events,
    store_events,
    wait_events,
    worker_events,
)
from headrace.telemetry.events import (
    EVENTS,
    Event,
    Level,
    Sink,
    add_sink,
    emit,
    enabled,
    event,
    field_names,
)
from headrace.telemetry.fields import MEANINGS
from headrace.telemetry.job_events import JobCompleted, JobStarted
from headrace.telemetry.step_events import StepStarted

REPOSITORY = Path(__file__).parent.parent.parent
MODULES = (
    job_events,
    step_events,
    worker_events,
    wait_events,
    schedule_events,
    request_events,
    identity_events,
    messaging_events,
    outbox_events,
    lock_events,
    gate_events,
    operation_events,
    breaker_events,
    limit_events,
    store_events,
)
JOB = UUID("0192f1e2-1234-7abc-8def-001122334455")
STARTED = JobStarted(job_id=JOB, run=1, pipeline="echo", queue_latency_ms=1.5, lease_s=30)
STEP_STARTED = StepStarted(job_id=JOB, run=1, pipeline="echo", step="say", attempt=1)


@dataclass
class Recorder:
    """A sink that remembers what it was given."""

    seen: list[Event]

    def __call__(self, given: Event) -> None:
        self.seen.append(given)


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    sink = Recorder([])
    remove = add_sink(sink)
    yield sink
    remove()


class TestEmit:
    def test_a_sink_gets_events_of_its_level_and_above(self, recorder: Recorder) -> None:
        emit(STARTED)
        emit(STEP_STARTED)
        assert recorder.seen == [STARTED]

    def test_every_sink_gets_the_same_event(self, recorder: Recorder) -> None:
        second = Recorder([])
        remove = add_sink(second, level=Level.DEBUG)
        emit(STARTED)
        emit(STEP_STARTED)
        remove()
        assert recorder.seen == [STARTED]
        assert second.seen == [STARTED, STEP_STARTED]

    def test_a_removed_sink_gets_nothing_more(self) -> None:
        sink = Recorder([])
        remove = add_sink(sink)
        remove()
        remove()
        emit(STARTED)
        assert sink.seen == []

    def test_a_failing_sink_harms_neither_the_caller_nor_the_other_sinks(
        self, capfd: pytest.CaptureFixture[str]
    ) -> None:
        def broken(_event: Event) -> None:
            raise OSError("no room")

        after = Recorder([])
        removers = [add_sink(broken), add_sink(after)]
        emit(STARTED)
        emit(STARTED)
        for remove in removers:
            remove()
        assert after.seen == [STARTED, STARTED]
        assert capfd.readouterr().err.count("OSError: no room") == 1

    def test_the_same_callable_added_twice_is_removed_once_at_a_time(self) -> None:
        sink = Recorder([])
        first, second = add_sink(sink), add_sink(sink)
        first()
        emit(STARTED)
        second()
        emit(STARTED)
        assert sink.seen == [STARTED]


class TestEnabled:
    def test_an_event_that_no_sink_wants_is_not_enabled(self, recorder: Recorder) -> None:
        assert enabled(JobStarted)
        assert not enabled(StepStarted)
        assert recorder.seen == []

    def test_a_sink_of_a_lower_level_enables_it_until_it_is_removed(self) -> None:
        remove = add_sink(Recorder([]), level=Level.DEBUG)
        assert enabled(StepStarted)
        remove()
        assert not enabled(StepStarted)

    def test_an_event_defined_after_the_sink_reaches_it(self, recorder: Recorder) -> None:
        @event(Level.INFO)
        class LateArrival(Event):
            """Defined while a sink listens."""

        emit(LateArrival())
        assert recorder.seen == [LateArrival()]


class TestEvents:
    def test_an_event_cannot_be_changed(self) -> None:
        with pytest.raises(FrozenInstanceError):
            STARTED.run = 2  # type: ignore[misc]

    def test_an_event_has_no_dictionary(self) -> None:
        for kind in _declared():
            assert "__slots__" in vars(kind), kind

    def test_the_name_is_the_class_name_in_words(self) -> None:
        assert JobCompleted.name == "job_completed"
        assert EVENTS["job_completed"] is JobCompleted

    def test_every_event_of_the_requirements_exists(self) -> None:
        required = """
            enqueued job_claimed job_started step_started step_completed step_failed job_completed
            job_failed job_cancelled job_timeout job_retry_scheduled job_deferred job_released
            job_recovered job_redriven lease_lost stale_write_refused worker_lost dead_lettered
            worker_started worker_draining worker_stopped sweep_completed loop_stalled
            step_abandoned database_lost database_back job_unclaimable version_audit
            idempotent_skip
        """
        assert set(required.split()) <= set(EVENTS)

    def test_the_life_of_a_job_is_info_and_chatter_is_debug(self) -> None:
        debug = {kind.name for kind in _declared() if kind.level is Level.DEBUG}
        assert debug == {
            "job_claimed",
            "batch_claimed",
            "step_started",
            "step_completed",
            "step_skipped",
            "child_submitted",
            "sweep_completed",
            "messages_published",
            "message_settled",
            "outbox_published",
            "rate_limited",
            "fallback_used",
            "lock_acquired",
            "lock_refused",
            "lock_released",
        }

    def test_no_field_has_the_name_of_something_that_a_line_says_itself(self) -> None:
        taken = {"severity", "time", "message", "event", "level", "name", "logger", "exception"}
        for kind in _declared():
            assert taken.isdisjoint(field_names(kind)), kind


class TestReference:
    def test_every_event_says_when_it_is_emitted(self) -> None:
        for kind in _declared():
            text = kind.__doc__ or ""
            assert text.endswith("."), kind
            assert not text.startswith(kind.__name__), kind  # what dataclass writes by itself

    def test_every_event_is_emitted_by_something(self) -> None:
        declaring = {Path(module.__file__ or "") for module in MODULES}
        paths = set((REPOSITORY / "src" / "headrace").rglob("*.py")) - declaring
        sources = "".join(path.read_text(encoding="utf-8") for path in sorted(paths))
        never = {kind.__name__ for kind in _declared() if f"{kind.__name__}(" not in sources}
        assert never == set()

    def test_every_field_has_one_meaning_and_every_meaning_a_field(self) -> None:
        assert {name for kind in _declared() for name in field_names(kind)} == set(MEANINGS)

    def test_the_pages_are_current(self) -> None:
        check = subprocess.run(
            [sys.executable, "-m", "scripts.generate_reference", "--check"],
            cwd=REPOSITORY,
            check=False,
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert (check.stdout + check.stderr, check.returncode) == ("", 0)


def _declared() -> list[type[Event]]:
    names = {module.__name__ for module in MODULES}
    return [kind for kind in EVENTS.values() if kind.__module__ in names]


def test_a_plain_function_is_a_sink() -> None:
    seen: list[str] = []

    def sink(given: Event) -> None:
        seen.append(given.name)

    typed: Sink = sink
    remove = add_sink(typed)
    emit(STARTED)
    remove()
    assert seen == ["job_started"]
