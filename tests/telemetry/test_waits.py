"""What is told and counted of jobs that wait."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import timedelta

from headrace.telemetry.events import Event, Level, add_sink
from headrace.telemetry.job_events import JobDeferred
from headrace.telemetry.wait_events import ChildSubmitted, SignalExpired, SignalReceived
from tests.engine.conftest import MakeEngine, make_engine
from tests.telemetry.counting import counted, samples, value
from tests.waiting import eventually
from tests.waits.pipes import PIPELINES, Approval, order

__all__ = ["make_engine"]


@contextlib.contextmanager
def recorded() -> Iterator[list[Event]]:
    """All events of this process, as they come."""
    seen: list[Event] = []
    remove = add_sink(seen.append, level=Level.DEBUG)
    try:
        yield seen
    finally:
        remove()


class TestEvents:
    async def test_a_wait_is_told_from_its_beginning_to_its_end(
        self, make_engine: MakeEngine
    ) -> None:
        with recorded() as seen:
            async with make_engine(PIPELINES) as engine, engine.worker():
                job = await engine.submit(order, "lamp")

                def deferred() -> list[str]:
                    own = (event for event in seen if isinstance(event, JobDeferred))
                    return [event.wait_reason for event in own if str(event.job_id) == job.id]

                await eventually(lambda: deferred() == ["external"])
                for ok in (True, True, False):
                    await job.send("approval", Approval(ok=ok), actor="ann")
                await eventually(lambda: deferred() == ["external", "child"])
                [child] = (await job.status()).children
                await eventually(lambda: child_waits(seen, child.id))
                await engine.move_clock(timedelta(days=2))
                await eventually(lambda: any(isinstance(event, SignalExpired) for event in seen))
        received = [event for event in seen if isinstance(event, SignalReceived)]
        assert [(event.signal_name, event.actor, event.outcome) for event in received] == [
            ("approval", "ann", "stored"),
            ("approval", "ann", "same"),
            ("approval", "ann", "other"),
        ]
        assert {str(event.job_id) for event in received} == {job.id}
        [bound] = [event for event in seen if isinstance(event, ChildSubmitted)]
        assert (str(bound.job_id), bound.step, bound.child_id) == (job.id, "ship", child.id)
        [expired] = [event for event in seen if isinstance(event, SignalExpired)]
        assert (str(expired.job_id), expired.signal_name) == (child.id, "shelf")


def child_waits(seen: list[Event], child: str) -> bool:
    return any(isinstance(event, JobDeferred) and str(event.job_id) == child for event in seen)


class TestCounts:
    async def test_what_is_sent_is_counted_by_what_became_of_it(
        self, make_engine: MakeEngine
    ) -> None:
        with counted() as metrics:
            async with make_engine(PIPELINES) as engine:
                job = await engine.submit(order, "lamp")
                await job.send("approval", Approval(ok=True))
                await job.send("approval", Approval(ok=False))
        found, name = samples(metrics), "headrace_signal_received_total"
        numbers = {
            outcome: value(found, name, pipeline="order", queue="default", outcome=outcome)
            for outcome in ("stored", "other", "same")
        }
        assert numbers == {"stored": 1, "other": 1, "same": None}
