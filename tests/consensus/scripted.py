"""The model of these tests: the offline one, which they can watch, correct and make fail."""

import asyncio
import json
import os
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

from headrace.pipelines.consensus.model import Answer, AnswerT, ModelRequest
from headrace.pipelines.consensus.offline import OfflineModel

LOG: Final = "HEADRACE_TEST_MODEL_LOG"
"""Names the file in which every process notes its calls, before and after each."""
NAME: Final = "scripted"


class Script:
    """What the models of this process answer, and what they were asked.

    Attributes:
        calls: All questions, in order.
        corrections: By step: fields that replace those of the offline answer.
        failures: By step: what the next calls raise instead of answering.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.calls: list[ModelRequest[Any]] = []
        self.corrections: dict[str, dict[str, Any]] = {}
        self.failures: defaultdict[str, list[Exception]] = defaultdict(list)

    @property
    def steps(self) -> list[str]:
        return sorted(request.step for request in self.calls)

    def asked(self, step: str) -> ModelRequest[Any]:
        return next(request for request in self.calls if request.step == step)


SCRIPT: Final = Script()


class ScriptedModel:
    """Answers by the script."""

    name = NAME

    def __init__(self) -> None:
        self._offline = OfflineModel()

    async def ask(self, request: ModelRequest[AnswerT]) -> Answer[AnswerT]:
        SCRIPT.calls.append(request)
        note("begin", request)
        await asyncio.sleep(0)
        if SCRIPT.failures[request.step]:
            raise SCRIPT.failures[request.step].pop(0)
        answer = await self._offline.ask(request)
        fields = {**answer.value.model_dump(), **SCRIPT.corrections.get(request.step, {})}
        note("end", request)
        return Answer(
            value=request.schema.model_validate(fields),
            client=NAME,
            model=request.model,
            temperature=request.temperature,
            request_id=request.request_id,
            tokens=answer.tokens,
            latency_ms=answer.latency_ms,
            turns=1,
            started_at=answer.started_at,
        )

    async def aclose(self) -> None:
        """Nothing is held."""


def open_scripted() -> ScriptedModel:
    """The factory."""
    return ScriptedModel()


def note(what: str, request: ModelRequest[Any]) -> None:
    """Write a line that survives the process."""
    if path := os.environ.get(LOG):
        line = {"what": what, "step": request.step, "key": request.idempotency_key}
        with Path(path).open("a") as file:
            file.write(json.dumps({"pid": os.getpid(), **line}) + "\n")
