"""A pipeline that asks one question, with the guards of the settings around it."""

from dataclasses import dataclass
from typing import Any

from headrace import Pipeline, Retry, StepContext, Use
from headrace.pipelines.consensus.model import ModelClient
from headrace.pipelines.consensus.openai_guards import shared_guards
from headrace.pipelines.consensus.settings import ConsensusSettings
from headrace.testing import ModelServer
from tests.models.asking import model_of, question


@dataclass
class Probe:
    """What the worker of this process asks, and how; a test sets it before it runs."""

    server: ModelServer
    settings: dict[str, Any]


PROBE: list[Probe] = []


def open_guarded() -> ModelClient:
    probe = PROBE[-1]
    guards = shared_guards(ConsensusSettings(**probe.settings))
    return model_of(probe.server, guards, **probe.settings)


asking = Pipeline("asking", input=str, output=int, retry=Retry(attempts=4, first=0.1))


@asking.step
async def ask(words: str, ctx: StepContext, model: ModelClient = Use(open_guarded)) -> int:
    """Ask; the tokens that it took."""
    answer = await model.ask(question(user=words, idempotency_key=ctx.idempotency_key))
    return answer.tokens.total
