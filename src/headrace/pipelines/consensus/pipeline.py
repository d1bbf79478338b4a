"""The pipeline: an idea is expanded, reviewed by five personas, and decided."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from headrace import Each, Pipeline, Retry, StepContext, Transaction, Use
from headrace.pipelines.consensus import storing
from headrace.pipelines.consensus.clients import open_model
from headrace.pipelines.consensus.decision import aggregate
from headrace.pipelines.consensus.edits import changed_fields
from headrace.pipelines.consensus.errors import ModelClientError
from headrace.pipelines.consensus.model import ModelClient
from headrace.pipelines.consensus.outcomes import ConsensusResult, Expansion, Reviewed
from headrace.pipelines.consensus.prompts import prompt_set
from headrace.pipelines.consensus.schemas import IdeaInput, JsonObject
from headrace.pipelines.consensus.settings import consensus_settings
from headrace.pipelines.consensus.statements import MIGRATIONS
from headrace.pipelines.consensus.summing import summed
from headrace.pipelines.consensus.working import (
    ask_persona,
    expand_idea,
    find_parent,
    known_prompts,
    reuse_review,
)

ROWS: Final = tuple(persona.row for persona in prompt_set().personas)
MOST_TRIES: Final = 10
"""Of a step; how often the model is asked, the job and the settings say."""
RETRY: Final = Retry(attempts=MOST_TRIES, first=2.0, most=60.0, unless=(ModelClientError,))
LIMIT: Final = timedelta(seconds=min(consensus_settings().llm_timeout_s + 30, 1_800))
"""Of a step: a question, and storing its answer."""

consensus = Pipeline(
    "consensus",
    input=IdeaInput,
    output=ConsensusResult,
    retry=RETRY,
    timeout=timedelta(hours=2),
    costly=True,
    migrations=MIGRATIONS,
)


@consensus.step(timeout=LIMIT)
async def expand(
    given: IdeaInput, ctx: StepContext, tx: Transaction, model: ModelClient = Use(open_model)
) -> Expansion:
    """Think the idea out, or change the parent's proposal as the revision says."""
    prompts = known_prompts(given)
    parent = None
    if given.revision is not None:
        parent = await ctx.once("parent", find_parent, given, ctx.tenant, ctx.owner)
    expansion = await expand_idea(given, prompts, parent, ctx, model)
    revision = given.revision
    await storing.keep_proposal(
        tx,
        storing.Place.of(ctx),
        expansion,
        depth=0 if parent is None else parent.depth + 1,
        diff=None if parent is None else changed_fields(parent.proposal, expansion.proposal),
        notes=None if revision is None else revision.edit_notes,
    )
    return expansion


@consensus.step(timeout=LIMIT, parallel=len(ROWS))
async def review(
    given: IdeaInput,
    expand: Expansion,
    ctx: StepContext,
    tx: Transaction,
    *,
    row: str = Each(ROWS, key=str),
    model: ModelClient = Use(open_model),
) -> Reviewed:
    """Ask one persona, or take over what it said of the parent."""
    prompts = prompt_set(expand.versions.prompt_set_version)
    persona = prompts.persona(row)
    parameters: JsonObject = {}
    if row in expand.reused:
        reviewed = await reuse_review(tx, expand, persona, ctx)
    else:
        reviewed = await ask_persona(
            expand.proposal, prompts, persona, parameters=given.parameters, ctx=ctx, model=model
        )
    if reviewed.call is not None:
        parameters = reviewed.call.model_dump(mode="json")
    await storing.keep_review(tx, storing.Place.of(ctx), reviewed, parameters)
    return reviewed


@consensus.step
async def aggregate_decision(
    expand: Expansion, review: list[Reviewed], ctx: StepContext, tx: Transaction
) -> ConsensusResult:
    """Compute the decision; no model is asked."""
    prompts = prompt_set(expand.versions.prompt_set_version)
    decision = aggregate([one.review for one in review], prompts.personas)
    result = summed(expand, review, decision)
    if result.version_audit.is_mixed:
        ctx.log.error("version_audit", **result.version_audit.model_dump())
    ctx.annotate(version_audit=result.version_audit.model_dump(mode="json"))
    await storing.keep_decision(tx, storing.Place.of(ctx), result, expand.versions, None)
    return result
