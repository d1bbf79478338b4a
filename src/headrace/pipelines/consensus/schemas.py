"""What goes in and comes out: the schemas of the pipeline, version 1.0.0.

They are closed: a field that they do not know is refused. What a model may answer is a smaller
thing, see `answers.py`: who reviewed, with what weight, is never read from an answer.
"""

from __future__ import annotations

import re
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Final, Self

import orjson
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    field_validator,
    model_validator,
)

from headrace.pipelines.consensus.settings import consensus_settings

SCHEMA_VERSION: Final = "1.0.0"
MOST_SENTENCES: Final = 10
"""Of an idea."""
_SENTENCE: Final = re.compile(r"[.!?\u2026\u3002\uff01\uff1f]+(?=[\s\"'\u201d\u2019)\]]|$)")

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Score = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Temperature = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]
JsonObject = dict[str, JsonValue]


def _blank_to_none(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


OptionalText = Annotated[Text | None, BeforeValidator(_blank_to_none)]


class Closed(BaseModel):
    """Refuses fields that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


# --- in -------------------------------------------------------------------------------------------


class Parameters(Closed):
    """What a job may choose; the settings hold where it says nothing."""

    expand_model: Text | None = None
    expand_temperature: Temperature | None = None
    review_model: Text | None = None
    review_temperature: Temperature | None = None
    persona_template_version: Text | None = None
    max_retries: int | None = Field(default=None, ge=1, le=10)


class Revision(Closed):
    """What a revision changes of the job before it.

    Attributes:
        parent: The id of that job.
        edited_proposal: The proposal as it should be: its fields, of which those left out stay as
            they were, or a text, which stands for the proposed solution.
        edit_notes: What is to be changed, in words.
        personas: Who reviews again; the rule decides where it is None.
        rerun_threshold: Reviews with less confidence are made again; the setting's where None.
    """

    parent: Text
    edited_proposal: JsonObject | Text | None = None
    edit_notes: OptionalText = None
    personas: list[Text] | None = None
    rerun_threshold: Score | None = None

    @field_validator("edited_proposal")
    @classmethod
    def _check_proposal(cls, edited: JsonObject | str | None) -> JsonObject | str | None:
        if edited is None:
            return None
        most = consensus_settings().max_edited_proposal_length
        length = len(edited) if isinstance(edited, str) else _json_length(edited)
        _refuse_long("an edited proposal", length, most, "MAX_EDITED_PROPOSAL_LENGTH")
        if isinstance(edited, dict):
            EditedFields.model_validate(edited)
        return edited

    @model_validator(mode="after")
    def _check_edit(self) -> Self:
        if self.edited_proposal is None and self.edit_notes is None:
            raise ValueError("a revision needs an edited_proposal or edit_notes")
        return self

    @field_validator("edit_notes")
    @classmethod
    def _check_notes(cls, notes: str | None) -> str | None:
        most = consensus_settings().max_edit_notes_length
        _refuse_long("edit_notes", len(notes or ""), most, "MAX_EDIT_NOTES_LENGTH")
        return notes


class IdeaInput(Closed):
    """An idea that is to be reviewed: the input of a job."""

    idea: Text
    extra_context: JsonObject | str | None = None
    parameters: Parameters = Parameters()
    revision: Revision | None = None

    @classmethod
    def from_text(cls, text: str) -> IdeaInput:
        """The idea that a text file holds."""
        return cls(idea=text)

    @field_validator("idea")
    @classmethod
    def _check_idea(cls, idea: str) -> str:
        _refuse_long("an idea", len(idea), consensus_settings().max_idea_length, "MAX_IDEA_LENGTH")
        found = count_sentences(idea)
        if found > MOST_SENTENCES:
            raise ValueError(
                f"an idea has at most {MOST_SENTENCES} sentences, not {found}: "
                "say the rest in extra_context"
            )
        return idea

    @field_validator("extra_context")
    @classmethod
    def _check_context(cls, context: JsonObject | str | None) -> JsonObject | str | None:
        if context is not None:
            most = consensus_settings().max_extra_context_length
            _refuse_long("extra_context", _json_length(context), most, "MAX_EXTRA_CONTEXT_LENGTH")
        return context


def count_sentences(text: str) -> int:
    """How many sentences a text has: what ends with a mark, and what is left after the last."""
    ends = list(_SENTENCE.finditer(text))
    rest = text[ends[-1].end() :] if ends else text
    return len(ends) + bool(re.search(r"\w", rest))


# --- the proposal ---------------------------------------------------------------------------------


class ExpandedProposal(Closed):
    """An idea that was thought out."""

    problem_statement: Text
    proposed_solution: Text
    assumptions: list[Text] = []
    scope_non_goals: list[Text] = []
    title: OptionalText = None
    summary: OptionalText = None
    raw_idea: OptionalText = None
    raw_expanded_proposal: OptionalText = None
    metadata: JsonObject | None = None


class EditedFields(Closed):
    """The fields of a proposal that a revision may set."""

    problem_statement: Text | None = None
    proposed_solution: Text | None = None
    assumptions: list[Text] | None = None
    scope_non_goals: list[Text] | None = None
    title: OptionalText = None
    summary: OptionalText = None


# --- reviews --------------------------------------------------------------------------------------


class Concern(Closed):
    """What a persona worries about."""

    text: Text
    is_blocking: bool = False


class BlockingIssue(Closed):
    """What must be solved before the idea is built."""

    text: Text
    security_critical: bool | None = None


class PersonaReview(Closed):
    """What one persona thinks of a proposal."""

    persona_id: Text
    persona_name: Text
    confidence_score: Score
    strengths: list[Text] = []
    concerns: list[Concern] = []
    recommendations: list[Text] = []
    blocking_issues: list[BlockingIssue] = []
    estimated_effort: Text | JsonObject
    dependency_risks: list[Text | JsonObject] = []
    internal_metadata: JsonObject | None = None

    @property
    def is_security_critical(self) -> bool:
        """Whether one of its blocking issues endangers people's data or systems."""
        return any(issue.security_critical is True for issue in self.blocking_issues)


# --- the decision ---------------------------------------------------------------------------------


class DecisionLabel(StrEnum):
    """What becomes of an idea."""

    APPROVE = "approve"
    REVISE = "revise"
    REJECT = "reject"


class MinorityReport(Closed):
    """What a persona says that does not agree."""

    persona_id: Text
    persona_name: Text
    confidence_score: Score
    blocking_summary: Text
    mitigation_recommendation: Text
    strengths: list[Text]
    concerns: list[Text]


class ScoreBreakdown(Closed):
    """How the weighted confidence came about."""

    weights: dict[str, float]
    individual_scores: dict[str, float]
    weighted_contributions: dict[str, float]
    formula: Text


class DecisionAggregation(Closed):
    """The decision on an idea."""

    overall_weighted_confidence: Score
    weighted_confidence: Score
    decision: DecisionLabel
    score_breakdown: dict[str, float]
    """What each persona contributes to the weighted confidence."""
    detailed_score_breakdown: ScoreBreakdown
    minority_report: MinorityReport | None
    minority_reports: list[MinorityReport]


def exact(number: float) -> Decimal:
    """A number of JSON as it is written: 0.1 is a tenth."""
    return Decimal(repr(number))


def _json_length(value: Any) -> int:  # noqa: ANN401 - any JSON
    return len(orjson.dumps(value).decode())


def _refuse_long(what: str, length: int, most: int, setting: str) -> None:
    if length > most:
        raise ValueError(
            f"{what} has at most {most:,} characters, not {length:,} (HEADRACE_CONSENSUS_{setting})"
        )
