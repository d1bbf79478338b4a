"""What a model may answer: less than what is stored.

Nothing here names a persona, a weight, a route or an address, and fields that are not known are
left out: an answer can only say what it thinks. All fields are required and no text has a bound in
the JSON schema, as the strict mode of model servers wants it; bounds are checked when it is read.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from headrace.pipelines.consensus.schemas import (
    BlockingIssue,
    Concern,
    ExpandedProposal,
    PersonaReview,
    Score,
)

if TYPE_CHECKING:
    from headrace.pipelines.consensus.personas import Persona

MOST_CHARACTERS: Final = 20_000
"""Of one text of an answer."""
MOST_ITEMS: Final = 100
"""Of one list of an answer."""


def _cleaned(text: str) -> str:
    """A text without what could steer a terminal or cannot be stored."""
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"a text has at most {MOST_CHARACTERS:,} characters")
    return "".join(
        letter
        for letter in text
        if letter in "\n\t" or unicodedata.category(letter) not in {"Cc", "Cs"}
    ).strip()


def _not_blank(text: str) -> str:
    if not text:
        raise ValueError("it is blank")
    return text


def _without_blanks(texts: list[str]) -> list[str]:
    return [text for text in texts if text]


AnyText = Annotated[str, AfterValidator(_cleaned)]
FullText = Annotated[AnyText, AfterValidator(_not_blank)]
Texts = Annotated[list[AnyText], Field(max_length=MOST_ITEMS), AfterValidator(_without_blanks)]


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ExpansionAnswer(_Answer):
    """An idea, thought out."""

    title: AnyText = Field(description="A few words that name the idea.")
    summary: AnyText = Field(description="Two or three sentences.")
    problem_statement: FullText = Field(description="Which problem, of whom, how it shows.")
    proposed_solution: FullText = Field(description="What would be built, and how it works.")
    assumptions: Texts = Field(description="What must be true for it to work.")
    scope_non_goals: Texts = Field(description="What it will not do.")

    def proposal(self, idea: str) -> ExpandedProposal:
        """The proposal that is stored."""
        return ExpandedProposal(**self.model_dump(), raw_idea=idea)


class ConcernAnswer(_Answer):
    """A concern."""

    text: FullText
    is_blocking: bool


class BlockingAnswer(_Answer):
    """A blocking issue."""

    text: FullText
    security_critical: bool | None = Field(
        description="True where people's data, money or systems would be in danger."
    )


class ReviewAnswer(_Answer):
    """What a reviewer thinks of a proposal."""

    confidence_score: Score = Field(
        description="0 to 1: how sure you are that it should be built as proposed."
    )
    strengths: Texts
    concerns: list[ConcernAnswer] = Field(max_length=MOST_ITEMS)
    recommendations: Texts
    blocking_issues: list[BlockingAnswer] = Field(
        max_length=MOST_ITEMS, description="Only what must be solved before it is built."
    )
    estimated_effort: FullText = Field(description="As `two people for a month`.")
    dependency_risks: Texts

    def review(self, persona: Persona) -> PersonaReview:
        """The review that is stored: whose it is, we say."""
        return PersonaReview(
            persona_id=persona.id,
            persona_name=persona.display_name,
            confidence_score=self.confidence_score,
            strengths=self.strengths,
            concerns=[
                Concern(text=concern.text, is_blocking=concern.is_blocking)
                for concern in self.concerns
            ],
            recommendations=self.recommendations,
            blocking_issues=[
                BlockingIssue(text=issue.text, security_critical=issue.security_critical)
                for issue in self.blocking_issues
            ],
            estimated_effort=self.estimated_effort,
            dependency_risks=list(self.dependency_risks),
        )
