"""For the tests of your pipelines: the real engine, on a database of its own for each test.

from headrace.testing import Engine

async def test_a_decision_is_made() -> None:
    async with Engine(pipelines=[consensus]) as engine:
        job = await engine.submit(consensus, Idea("a bridge"))
        await engine.run_until_empty()
        assert (await job.result()).ok
"""

from headrace.testing.engine import Engine
from headrace.testing.process import WorkerProcess
from headrace.testing.rows import EventRow, JobRow, RecordRow, StepRow, TryRow
from headrace.testing.running import RunningWorker
from headrace.testing.waiting import NotEmptyError

__all__ = [
    "Engine",
    "EventRow",
    "JobRow",
    "NotEmptyError",
    "RecordRow",
    "RunningWorker",
    "StepRow",
    "TryRow",
    "WorkerProcess",
]
