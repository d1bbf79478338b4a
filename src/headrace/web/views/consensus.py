"""Ideas as they are sent, and what is answered."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictInt

from headrace.pipelines.consensus import (
    DecisionAggregation,
    Edit,
    ExpandedProposal,
    Parameters,
    PersonaReview,
)
from headrace.web.views.submission import SubmittedJob

EXAMPLE: Final[dict[str, Any]] = {
    "idea": "A tool library for our street. Members lend what they own, and a page shows it.",
    "parameters": {"review_temperature": 0.2},
}
Context = Annotated[
    dict[str, Any] | str | None,
    Field(description="What else should be known; at most 50,000 characters as JSON."),
]
Priority = Annotated[
    Annotated[StrictInt, Field(ge=0, le=9)] | Literal["low", "normal", "high"],
    Field(description="0 to 9; `low` is 1, `normal` 5, `high` 9."),
]


class IdeaBody(BaseModel):
    """An idea. Fields that are not here are refused."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EXAMPLE]})

    idea: Annotated[
        str, Field(min_length=1, description="1 to 10 sentences, at most 10,000 characters.")
    ]
    extra_context: Context = None
    parameters: Annotated[
        Parameters | None, Field(description="Models, temperatures, prompts, retries.")
    ] = None

    def payload(self) -> dict[str, Any]:
        """The input of a job."""
        given = self.model_dump(mode="json", include={"idea", "extra_context", "parameters"})
        return {name: value for name, value in given.items() if value is not None}


class ReviewsBody(IdeaBody):
    """An idea that five personas shall review."""

    priority: Priority = 5
    metadata: Annotated[
        dict[str, Any] | None, Field(description="Kept and shown; nothing reads it.")
    ] = None
    correlation_id: Annotated[
        str | None,
        Field(min_length=1, max_length=200, description="Your own id; lists can ask for it."),
    ] = None


class RevisionBody(BaseModel):
    """What a revision changes; at least an edited proposal or notes."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"edit_notes": "Only hand tools.", "personas": ["critic"]}]
        },
    )

    edited_proposal: Annotated[
        dict[str, Any] | str | None,
        Field(
            description="The proposal as it should be: its fields, or a text, which stands for the "
            "proposed solution; at most 100,000 characters."
        ),
    ] = None
    edit_notes: Annotated[
        str | None,
        Field(description="What is to be changed, in words; at most 10,000 characters."),
    ] = None
    input_idea: Annotated[
        str | None, Field(description="Another wording of the idea; the parent's if left out.")
    ] = None
    extra_context: Context = None
    model: Annotated[str | None, Field(max_length=200, description="Model of all steps.")] = None
    temperature: Annotated[
        float | None, Field(ge=0, le=2, description="Temperature of all steps.")
    ] = None
    parameters: Annotated[
        Parameters | None, Field(description="Models, temperatures, prompts, retries.")
    ] = None
    personas: Annotated[
        list[str] | None,
        Field(
            max_length=20,
            description="Who reviews again; the rule decides if left out, none where it is empty.",
        ),
    ] = None
    rerun_threshold: Annotated[
        float | None,
        Field(
            ge=0, le=1, description="Reviews with less confidence are made again; 0.70 as a rule."
        ),
    ] = None

    def edit(self) -> Edit:
        """What is to be changed."""
        return Edit(
            proposal=self.edited_proposal,
            notes=self.edit_notes,
            idea=self.input_idea,
            extra_context=self.extra_context,
            parameters=self._parameters(),
            personas=self.personas,
            rerun_threshold=self.rerun_threshold,
        )

    def _parameters(self) -> Parameters | None:
        """Model and temperature stand for those of both questions."""
        given = {} if self.parameters is None else self.parameters.model_dump(exclude_none=True)
        for name, value in (("model", self.model), ("temperature", self.temperature)):
            if value is not None:
                given = {f"expand_{name}": value, f"review_{name}": value} | given
        return Parameters.model_validate(given) if given else None


class StoredRevision(SubmittedJob):
    """A revision that is stored, and will be run."""

    parent_job_id: UUID
    personas_rerun: list[str] = Field(description="Who reviews again.")
    personas_reused: list[str] = Field(description="Whose reviews of the parent are taken over.")


class ExpandedIdea(BaseModel):
    """An idea, thought out."""

    job_id: UUID
    proposal: ExpandedProposal
    answered_by: list[str] = Field(description="`offline` where no model was asked.")
    models: list[str]
    tokens: dict[str, int]


class QuickReview(ExpandedIdea):
    """An idea, thought out and reviewed once."""

    review: PersonaReview
    decision: DecisionAggregation
