"""What the tests of the client ask, and with what."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel, Field, SecretStr

from headrace.pipelines.consensus.model import Answer, ModelClient, ModelRequest
from headrace.pipelines.consensus.model_errors import Told
from headrace.pipelines.consensus.openai_client import OpenAIModel, open_openai
from headrace.pipelines.consensus.openai_guards import Guards
from headrace.pipelines.consensus.settings import ConsensusSettings
from headrace.testing import ModelServer

KEY = "sk-canary-0815"
PROMPT = "prompt-canary"


class Grade(BaseModel):
    verdict: str = Field(pattern="^(good|bad)$")
    confidence: float = Field(ge=0, le=1)
    reasons: list[str]


GOOD = {"verdict": "good", "confidence": 0.5, "reasons": ["It is a bridge."]}


def question(**more: Any) -> ModelRequest[Grade]:
    """A question with instructions and a text of others."""
    given: dict[str, Any] = {
        "step": "expand",
        "schema": Grade,
        "schema_name": "Grade",
        "schema_version": "1.0.0",
        "prompt_set_version": "1.0.0",
        "system": "You are a judge.",
        "developer": f"Judge. {PROMPT}",
        "user": f"A bridge. {PROMPT}",
        "model": "gpt-5.1",
        "temperature": 0.2,
        "timeout": timedelta(seconds=20),
        "idempotency_key": "key-1",
        "request_id": "request-1",
    }
    return ModelRequest(**{**given, **more})


def model_of(server: ModelServer, guards: Guards | None = None, **settings: Any) -> OpenAIModel:
    """A client of a server."""
    given = {"openai_base_url": server.base_url, "openai_api_key": SecretStr(KEY)} | settings
    return open_openai(ConsensusSettings(**given), guards)


async def ask_once(server: ModelServer, **settings: object) -> Answer[Grade]:
    model = model_of(server, **settings)
    try:
        return await model.ask(question())
    finally:
        await model.aclose()


async def failure_of(model: ModelClient, **more: object) -> Told:
    with pytest.raises(Told) as info:
        await model.ask(question(**more))
    return info.value
