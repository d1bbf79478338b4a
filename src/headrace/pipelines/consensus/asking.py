"""Asking a model in a step: one call, and what is kept of it."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache

from headrace import PermanentError, StepContext
from headrace.pipelines.consensus.model import (
    Answer,
    AnswerT,
    ModelClient,
    ModelRequest,
    ModelUnavailableError,
)
from headrace.pipelines.consensus.model_errors import Told
from headrace.pipelines.consensus.outcomes import AskedExpansion, AskedReview, Call
from headrace.pipelines.consensus.questions import Question, expand_request, review_request
from headrace.pipelines.consensus.schemas import Parameters
from headrace.pipelines.consensus.settings import consensus_settings


class TriesSpentError(PermanentError):
    """The model was asked as often as the job allows, and gave no usable answer."""


@cache
def spent_by(code: str) -> type[TriesSpentError]:
    """The error that is stored under the code of what failed last: a class declares its code."""
    return type("TriesSpentError", (TriesSpentError,), {"code": code})


async def ask_expansion(
    model: ModelClient, question: Question, parameters: Parameters, ctx: StepContext
) -> AskedExpansion:
    """Ask for a proposal."""
    request = expand_request(question, ctx)
    answer = await _ask(model, request, parameters, ctx)
    return AskedExpansion(answer=answer.value, call=_call(request, answer, question, ctx))


async def ask_review(
    model: ModelClient, question: Question, parameters: Parameters, ctx: StepContext, row: str
) -> AskedReview:
    """Ask for a review."""
    request = review_request(question, ctx, row)
    answer = await _ask(model, request, parameters, ctx)
    return AskedReview(answer=answer.value, call=_call(request, answer, question, ctx))


async def _ask(
    model: ModelClient, request: ModelRequest[AnswerT], parameters: Parameters, ctx: StepContext
) -> Answer[AnswerT]:
    """Ask once; the engine asks again, as often as the job allows.

    Raises:
        TriesSpentError: That was the last try.
    """
    most = parameters.max_retries or consensus_settings().max_retries
    try:
        return await _told(model, request, ctx)
    except ModelUnavailableError as error:
        if ctx.failures + 1 < most:
            raise
        word = "tries" if most > 1 else "try"
        raise spent_by(error.code)(f"{error} ({most} {word})") from error


async def _told(
    model: ModelClient, request: ModelRequest[AnswerT], ctx: StepContext
) -> Answer[AnswerT]:
    """Ask, and log what was used where no answer comes of it."""
    try:
        return await model.ask(request)
    except Told as error:
        ctx.log.warning(
            "model_call_failed",
            code=getattr(error, "code", type(error).__name__),
            model=request.model,
            request_id=error.took.request_id,
            latency_ms=round(error.took.latency_ms, 3),
            answers=error.took.turns,
            tokens=asdict(error.took.tokens),
        )
        raise


def _call(
    request: ModelRequest[AnswerT], answer: Answer[AnswerT], question: Question, ctx: StepContext
) -> Call:
    return Call(
        client=answer.client,
        model=answer.model,
        temperature=request.temperature,
        request_id=answer.request_id,
        attempt=ctx.attempt,
        latency_ms=round(answer.latency_ms, 3),
        turns=answer.turns,
        tokens=answer.tokens,
        schema_name=request.schema_name,
        schema_version=request.schema_version,
        prompt_set_version=request.prompt_set_version,
        shortened=question.shortened,
    )
