from dataclasses import replace
from datetime import timedelta
from typing import Any, Never, cast

from headrace.telemetry.worker_events import ServiceFailed
from headrace.worker.claimer import Claimer
from headrace.worker.timing import Timing
from tests.listening import listening
from tests.waiting import eventually

NOTHING = cast("Any", None)
"""What a claimer does not come to need that cannot connect."""


class TestFailures:
    async def test_they_are_never_further_apart_than_poll_error(self) -> None:
        tries: list[int] = []

        async def connect() -> Never:
            tries.append(len(tries))
            raise ValueError(f"broken {len(tries)}")

        shortest = timedelta(seconds=0.001)
        timing = replace(Timing(), restart_first=shortest, poll_error=2 * shortest)
        claimer = Claimer(
            connect, worker=7, pipelines={}, queues=("default",), executor=NOTHING, ledger=NOTHING,
            timing=timing, concurrency=1, batch=1, listen=True, job_timeout_s=60,
        )  # fmt: skip
        with listening() as told:
            claimer.start()
            await eventually(lambda: len(tries) > 20)
            await claimer.stop()
        assert max(event.retry_in_s for event in told.of(ServiceFailed)) <= 0.002
