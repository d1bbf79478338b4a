"""Two small pipelines for somebody who waits: an expansion alone, and a quick review."""

from __future__ import annotations

from datetime import timedelta

from headrace import Pipeline, StepContext, Use, UserError
from headrace.pipelines.consensus.clients import open_model
from headrace.pipelines.consensus.decision import decide_quick
from headrace.pipelines.consensus.model import ModelClient
from headrace.pipelines.consensus.outcomes import ExpandResult, Expansion, QuickResult, Reviewed
from headrace.pipelines.consensus.pipeline import LIMIT, RETRY
from headrace.pipelines.consensus.prompts import prompt_set
from headrace.pipelines.consensus.schemas import IdeaInput
from headrace.pipelines.consensus.summing import said, tokens_of
from headrace.pipelines.consensus.working import ask_persona, expand_idea, known_prompts

expand_only = Pipeline(
    "consensus-expand",
    input=IdeaInput,
    output=ExpandResult,
    retry=RETRY,
    timeout=timedelta(hours=2),
    costly=True,
)
quick = Pipeline(
    "consensus-quick",
    input=IdeaInput,
    output=QuickResult,
    retry=RETRY,
    timeout=timedelta(hours=2),
    costly=True,
)


@expand_only.step(name="expand", timeout=LIMIT)
async def expand_alone(
    given: IdeaInput, ctx: StepContext, model: ModelClient = Use(open_model)
) -> ExpandResult:
    """Think the idea out."""
    refuse_revision(given)
    expansion = await expand_idea(given, known_prompts(given), None, ctx, model)
    origins = [expansion.proposal.metadata]
    return ExpandResult(
        proposal=expansion.proposal,
        answered_by=said("client", origins),
        models=said("model", origins),
        tokens=tokens_of([expansion.call]),
    )


@quick.step(timeout=LIMIT)
async def expand(
    given: IdeaInput, ctx: StepContext, model: ModelClient = Use(open_model)
) -> Expansion:
    """Think the idea out."""
    refuse_revision(given)
    return await expand_idea(given, known_prompts(given), None, ctx, model)


@quick.step(timeout=LIMIT)
async def review(
    given: IdeaInput, expand: Expansion, ctx: StepContext, model: ModelClient = Use(open_model)
) -> Reviewed:
    """Ask the one reviewer."""
    prompts = prompt_set(expand.versions.prompt_set_version)
    return await ask_persona(
        expand.proposal, prompts, prompts.quick, parameters=given.parameters, ctx=ctx, model=model
    )


@quick.step
async def aggregate(expand: Expansion, review: Reviewed) -> QuickResult:
    """Compute the decision; no model is asked."""
    origins = [expand.proposal.metadata, review.review.internal_metadata]
    return QuickResult(
        decision=decide_quick(review.review),
        proposal=expand.proposal,
        review=review.review,
        answered_by=said("client", origins),
        models=said("model", origins),
        tokens=tokens_of([expand.call, review.call]),
    )


def refuse_revision(given: IdeaInput) -> None:
    """Revisions are of the whole pipeline.

    Raises:
        UserError: This is one.
    """
    if given.revision is not None:
        raise UserError("only the pipeline consensus revises")
