"""The questions that the steps ask a model."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from headrace import StepContext
from headrace.pipelines.consensus.answers import ExpansionAnswer, ReviewAnswer
from headrace.pipelines.consensus.blocks import Shortened, proposal_text, write_blocks
from headrace.pipelines.consensus.model import AnswerT, ModelRequest
from headrace.pipelines.consensus.registry import SCHEMAS
from headrace.pipelines.consensus.settings import consensus_settings

if TYPE_CHECKING:
    from headrace.pipelines.consensus.personas import Persona
    from headrace.pipelines.consensus.prompts import PromptSet
    from headrace.pipelines.consensus.schemas import ExpandedProposal, IdeaInput, Parameters

MARGIN: Final = timedelta(seconds=1)
"""Of the step's time, for storing the answer."""
LEAST: Final = timedelta(milliseconds=100)


@dataclass(frozen=True, slots=True)
class Question:
    """A question, apart from who asks it.

    Attributes:
        system: What the model is told to be.
        developer: What the model is told to do.
        user: Blocks of others' text.
        model: Its name.
        temperature: 0 to 2.
        prompt_set_version: Of the prompts.
        shortened: What of the proposal was shortened.
    """

    system: str
    developer: str
    user: str
    model: str
    temperature: float
    prompt_set_version: str
    shortened: list[str] = field(default_factory=list)


def expand_question(
    given: IdeaInput, prompts: PromptSet, parent: ExpandedProposal | None
) -> Question:
    """Asks for the proposal of an idea, or of what a revision changes in an earlier one."""
    settings, parameters = consensus_settings(), given.parameters
    texts = {"idea": given.idea}
    if given.extra_context:
        texts["extra_context"] = _text_of(given.extra_context)
    revision = given.revision
    if parent is not None and revision is not None:
        texts["parent_proposal"] = _text_of(
            parent.model_dump(exclude={"raw_idea", "raw_expanded_proposal", "metadata"})
        )
        if revision.edited_proposal is not None:
            texts["edited_proposal"] = _text_of(revision.edited_proposal)
        if revision.edit_notes is not None:
            texts["edit_notes"] = revision.edit_notes
    temperature = parameters.expand_temperature
    return Question(
        system=prompts.expand.system,
        developer=prompts.expand.developer,
        user=write_blocks(texts),
        model=parameters.expand_model or settings.expand_model or settings.model,
        temperature=settings.expand_temperature if temperature is None else temperature,
        prompt_set_version=prompts.version,
    )


def review_question(
    proposal: ExpandedProposal, prompts: PromptSet, persona: Persona, parameters: Parameters
) -> Question:
    """Asks a persona what it thinks of a proposal."""
    settings, shortened = consensus_settings(), Shortened()
    prompt = prompts.review_prompt(persona)
    chosen = (parameters.review_temperature, settings.review_temperature, persona.temperature)
    return Question(
        system=prompt.system,
        developer=prompt.developer,
        user=write_blocks({"proposal": proposal_text(proposal, shortened)}),
        model=parameters.review_model or settings.review_model or settings.model,
        temperature=next(value for value in chosen if value is not None),
        prompt_set_version=prompts.version,
        shortened=shortened.places,
    )


def expand_request(question: Question, ctx: StepContext) -> ModelRequest[ExpansionAnswer]:
    """The question as it is sent now."""
    return _request(question, ctx, ExpansionAnswer, "expand", "ExpandedProposal")


def review_request(question: Question, ctx: StepContext, row: str) -> ModelRequest[ReviewAnswer]:
    """The question as it is sent now."""
    return _request(question, ctx, ReviewAnswer, row, "PersonaReview")


def _request(
    question: Question, ctx: StepContext, schema: type[AnswerT], step: str, name: str
) -> ModelRequest[AnswerT]:
    limit = timedelta(seconds=consensus_settings().llm_timeout_s)
    return ModelRequest(
        step=step,
        schema=schema,
        schema_name=name,
        schema_version=SCHEMAS.find(name).version,
        prompt_set_version=question.prompt_set_version,
        system=question.system,
        developer=question.developer,
        user=question.user,
        model=question.model,
        temperature=question.temperature,
        timeout=max(min(limit, ctx.remaining() - MARGIN), LEAST),
        idempotency_key=ctx.idempotency_key,
        request_id=f"{ctx.idempotency_key}-{ctx.attempt}",
    )


def _text_of(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1)
