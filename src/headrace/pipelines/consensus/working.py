"""What the steps of the pipelines do, apart from storing it."""

from __future__ import annotations

from uuid import UUID

from headrace import (
    ConflictError,
    InvalidError,
    NotFoundError,
    StepContext,
    Transaction,
    UserError,
)
from headrace.pipelines.consensus.asking import ask_expansion, ask_review
from headrace.pipelines.consensus.edits import lay_over
from headrace.pipelines.consensus.errors import DecisionError, PromptSetError
from headrace.pipelines.consensus.model import ModelClient
from headrace.pipelines.consensus.outcomes import Expansion, Reviewed, Versions
from headrace.pipelines.consensus.parents import (
    Parent,
    personas_to_rerun,
    read_parent,
    stored_review,
)
from headrace.pipelines.consensus.personas import Persona
from headrace.pipelines.consensus.prompts import PromptSet, prompt_set
from headrace.pipelines.consensus.questions import expand_question, review_question
from headrace.pipelines.consensus.schemas import (
    SCHEMA_VERSION,
    ExpandedProposal,
    IdeaInput,
    Parameters,
)
from headrace.pipelines.consensus.statements import SQL
from headrace.pipelines.consensus.summing import origin


def known_prompts(given: IdeaInput) -> PromptSet:
    """The prompts that a job asks for.

    Raises:
        UserError: There are none of that version.
    """
    try:
        return prompt_set(given.parameters.persona_template_version)
    except PromptSetError as error:
        raise UserError(str(error)) from error


def versions_of(prompts: PromptSet) -> Versions:
    """By what something is made now."""
    return Versions(schema_version=SCHEMA_VERSION, prompt_set_version=prompts.version)


async def find_parent(tx: Transaction, given: IdeaInput, tenant: str, owner: str) -> Parent:
    """The job that a revision begins with.

    Raises:
        UserError: It cannot be revised, or not by this owner.
    """
    assert given.revision is not None  # noqa: S101 - for the type checker
    try:
        parent = await read_parent(tx, given.revision.parent, tenant, owner)
        personas_to_rerun(parent, given.revision, known_prompts(given))
    except (InvalidError, NotFoundError, ConflictError) as error:
        raise UserError(str(error)) from error
    return parent


async def expand_idea(
    given: IdeaInput,
    prompts: PromptSet,
    parent: Parent | None,
    ctx: StepContext,
    model: ModelClient,
) -> Expansion:
    """Think an idea out; where nobody will review it again, lay the edits over the parent's."""
    reused = rows_to_reuse(given, prompts, parent)
    call = None
    if parent is not None and len(reused) == len(prompts.personas):
        proposal = parent.proposal
    else:
        before = None if parent is None else parent.proposal
        question = expand_question(given, prompts, before)
        asked = await ctx.once("answer", ask_expansion, model, question, given.parameters, ctx)
        call = asked.call
        ctx.annotate(**call.model_dump(mode="json"))
        made = asked.answer.proposal(given.idea)
        proposal = made.model_copy(update={"metadata": origin(call)})
    return Expansion(
        proposal=_edited(proposal, given),
        call=call,
        versions=versions_of(prompts),
        parent_job=None if parent is None else parent.job,
        reused=reused,
    )


def rows_to_reuse(given: IdeaInput, prompts: PromptSet, parent: Parent | None) -> list[str]:
    """The rows whose review is taken over."""
    if parent is None or given.revision is None:
        return []
    again = personas_to_rerun(parent, given.revision, prompts)
    return [persona.row for persona in prompts.personas if persona.id not in again]


async def ask_persona(
    proposal: ExpandedProposal,
    prompts: PromptSet,
    persona: Persona,
    *,
    parameters: Parameters,
    ctx: StepContext,
    model: ModelClient,
) -> Reviewed:
    """The review of one persona: who it is, we say."""
    question = review_question(proposal, prompts, persona, parameters)
    asked = await ctx.once("answer", ask_review, model, question, parameters, ctx, persona.row)
    call = asked.call
    ctx.annotate(**call.model_dump(mode="json"))
    if call.shortened:
        ctx.log.warning("prompt_shortened", places=call.shortened)
    made = asked.answer.review(persona)
    return Reviewed(
        review=made.model_copy(update={"internal_metadata": origin(call)}),
        call=call,
        versions=versions_of(prompts),
    )


async def reuse_review(
    tx: Transaction, expand: Expansion, persona: Persona, ctx: StepContext
) -> Reviewed:
    """The parent's review of a persona, marked as such.

    Raises:
        DecisionError: It is gone: the parent was erased.
    """
    assert expand.parent_job is not None  # noqa: S101 - for the type checker
    key = UUID(expand.parent_job)
    rows = await tx.fetch(SQL["reads.find_reviews"], key, ctx.tenant, ctx.owner)
    found = next((row for row in rows if row["persona"] == persona.id), None)
    if found is None:
        raise DecisionError(
            f"the review of {persona.display_name} in job {key} is gone: that job was erased"
        )
    stored = stored_review(found)
    marked = {
        **(stored.review.internal_metadata or {}),
        "reused": True,
        "reused_from": expand.parent_job,
    }
    ctx.annotate(reused=True, reused_from=expand.parent_job)
    return Reviewed(
        review=stored.review.model_copy(update={"internal_metadata": marked}),
        call=None,
        versions=stored.versions,
        reused_from=expand.parent_job,
    )


def _edited(proposal: ExpandedProposal, given: IdeaInput) -> ExpandedProposal:
    """What a revision says of the proposal stands there as it was written."""
    if given.revision is None:
        return proposal
    return lay_over(proposal, given.revision.edited_proposal)
