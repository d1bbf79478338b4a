"""For the tests of your pipelines: the real engine, on a database of its own for each test.

from headrace.testing import Engine

async def test_a_decision_is_made() -> None:
    async with Engine(pipelines=[consensus]) as engine:
        job = await engine.submit(consensus, Idea("a bridge"))
        await engine.run_until_empty()
        assert (await job.result()).ok

`PubSubServer` is loaded when it is first used, because it needs the extra `pubsub`; what belongs to
it is in `headrace.testing.pubsub`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.testing.embedding_server import EmbeddingCall, EmbeddingServer, VectorFault
from headrace.testing.engine import Engine
from headrace.testing.http_threads import Fault
from headrace.testing.model_faults import ModelFault
from headrace.testing.model_server import ModelCall, ModelServer
from headrace.testing.parser_server import Callback, ParseCall, ParserServer
from headrace.testing.process import WorkerProcess
from headrace.testing.rows import EventRow, JobRow, RecordRow, StepRow, TryRow
from headrace.testing.running import RunningWorker
from headrace.testing.waiting import NotEmptyError

if TYPE_CHECKING:
    from headrace.testing.pubsub import PubSubServer

__all__ = [
    "Callback",
    "EmbeddingCall",
    "EmbeddingServer",
    "Engine",
    "EventRow",
    "Fault",
    "JobRow",
    "ModelCall",
    "ModelFault",
    "ModelServer",
    "NotEmptyError",
    "ParseCall",
    "ParserServer",
    "PubSubServer",
    "RecordRow",
    "RunningWorker",
    "StepRow",
    "TryRow",
    "VectorFault",
    "WorkerProcess",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - each name has its type above
    if name == "PubSubServer":
        from headrace.testing.pubsub import PubSubServer  # noqa: PLC0415 - needs an extra

        return PubSubServer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
