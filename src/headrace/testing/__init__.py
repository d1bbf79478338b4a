"""For the tests of your pipelines: the real engine, on a database of its own for each test.

from headrace.testing import Engine

async def test_a_decision_is_made() -> None:
    async with Engine(pipelines=[consensus]) as engine:
        job = await engine.submit(consensus, Idea("a bridge"))
        await engine.run_until_empty()
        assert (await job.result()).ok
"""

from headrace.testing.embedding_server import EmbeddingCall, EmbeddingServer, VectorFault
from headrace.testing.engine import Engine
from headrace.testing.http_threads import Fault
from headrace.testing.process import WorkerProcess
from headrace.testing.rows import EventRow, JobRow, RecordRow, StepRow, TryRow
from headrace.testing.running import RunningWorker
from headrace.testing.waiting import NotEmptyError

__all__ = [
    "EmbeddingCall",
    "EmbeddingServer",
    "Engine",
    "EventRow",
    "Fault",
    "JobRow",
    "NotEmptyError",
    "RecordRow",
    "RunningWorker",
    "StepRow",
    "TryRow",
    "VectorFault",
    "WorkerProcess",
]
