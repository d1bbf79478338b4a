"""What the steps store: the outputs of the pipelines."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from headrace.pipelines.consensus import telling
from headrace.pipelines.consensus.answers import ExpansionAnswer, ReviewAnswer
from headrace.pipelines.consensus.model import Tokens
from headrace.pipelines.consensus.schemas import (
    SCHEMA_VERSION,
    Closed,
    DecisionAggregation,
    ExpandedProposal,
    PersonaReview,
    Text,
)


class Call(Closed):
    """One question that a model answered.

    Attributes:
        client: What answered: `offline`, `openai`, or another client.
        model: As the server names it.
        temperature: That was asked for.
        request_id: The server's, else our own.
        attempt: Which try of the step this was.
        status: `completed`: a call that failed is told by the step's tries.
        turns: 1, or 2 where the first answer did not fit.
        shortened: What of the proposal was shortened to fit the prompt.
    """

    client: Text
    model: Text
    temperature: float
    request_id: Text
    attempt: int
    status: Literal["completed"] = "completed"
    latency_ms: float
    turns: int
    tokens: Tokens
    schema_name: Text
    schema_version: Text
    prompt_set_version: Text
    shortened: list[str] = Field(default_factory=list)


class AskedExpansion(Closed):
    """A paid answer, kept as soon as it is there."""

    answer: ExpansionAnswer
    call: Call


class AskedReview(Closed):
    """A paid answer, kept as soon as it is there."""

    answer: ReviewAnswer
    call: Call


class Versions(Closed):
    """By what something was made."""

    schema_version: Text
    prompt_set_version: Text


class Expansion(Closed):
    """The output of `expand`.

    Attributes:
        proposal: What is reviewed.
        call: None where no model was asked: a revision of which nothing is reviewed again.
        versions: Of the schema and of the prompts.
        parent_job: Of a revision.
        reused: Rows whose review is taken over from the parent.
    """

    proposal: ExpandedProposal
    call: Call | None
    versions: Versions
    parent_job: Text | None = None
    reused: list[str] = Field(default_factory=list)


class Reviewed(Closed):
    """The output of a review.

    Attributes:
        review: What the persona thinks.
        call: None where it was taken over.
        versions: Of the schema and of the prompts.
        reused_from: The job that it is taken over from.
    """

    review: PersonaReview
    call: Call | None
    versions: Versions
    reused_from: Text | None = None


class VersionAudit(Closed):
    """The versions of all that a decision rests on; several of one kind are a mark, no failure."""

    schema_versions: list[str]
    prompt_set_versions: list[str]
    is_mixed: bool


class ConsensusResult(Closed):
    """The result of a job: the decision, and what it rests on.

    Attributes:
        decision: What becomes of the idea.
        proposal: What was reviewed.
        reviews: One of each persona, in their order.
        answered_by: What answered in this job and in those that reviews are taken over from:
            `offline`, `openai`.
        models: The models that did.
        tokens: Of this job's own calls.
        version_audit: The versions of schemas and prompts.
        parent_job: Of a revision.
        reused: Personas whose review was taken over.
    """

    schema_version: Text = SCHEMA_VERSION
    decision: DecisionAggregation
    proposal: ExpandedProposal
    reviews: list[PersonaReview]
    answered_by: list[str]
    models: list[str]
    tokens: Tokens
    version_audit: VersionAudit
    parent_job: Text | None = None
    reused: list[str] = Field(default_factory=list)

    def as_text(self) -> str:
        """The decision in words, with all reviews."""
        return telling.consensus_text(self)


class ExpandResult(Closed):
    """The result of `consensus-expand`."""

    schema_version: Text = SCHEMA_VERSION
    proposal: ExpandedProposal
    answered_by: list[str]
    models: list[str]
    tokens: Tokens

    def as_text(self) -> str:
        """The proposal in words."""
        return telling.expand_text(self)


class QuickResult(Closed):
    """The result of `consensus-quick`."""

    schema_version: Text = SCHEMA_VERSION
    decision: DecisionAggregation
    proposal: ExpandedProposal
    review: PersonaReview
    answered_by: list[str]
    models: list[str]
    tokens: Tokens

    def as_text(self) -> str:
        """The decision in words, with the review."""
        return telling.quick_text(self)
