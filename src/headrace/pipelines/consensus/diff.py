"""What differs between two jobs: from what is stored, no model is asked."""

from __future__ import annotations

import difflib
from decimal import Decimal
from enum import StrEnum
from typing import Final

from pydantic import Field

from headrace.pipelines.consensus.edits import FIELDS
from headrace.pipelines.consensus.schemas import (
    Closed,
    DecisionAggregation,
    DecisionLabel,
    ExpandedProposal,
    PersonaReview,
    exact,
)

CONTEXT: Final = 3
"""Lines around a change."""
MOST_LINES: Final = 50
"""Of a diff."""


class Change(StrEnum):
    """What became of a section."""

    UNCHANGED = "unchanged"
    ADDED = "added"
    REMOVED = "removed"
    MODIFIED = "modified"


class Relationship(StrEnum):
    """What the second job is to the first."""

    PARENT = "parent"
    CHILD = "child"
    UNRELATED = "unrelated"


class SectionDiff(Closed):
    """A section of two proposals.

    Attributes:
        section: As `proposed_solution`.
        change: What became of it.
        diff: Lines of a unified diff; empty where nothing changed.
        cut: Whether the diff has more lines than are shown.
    """

    section: str
    change: Change
    diff: list[str] = Field(default_factory=list)
    cut: bool = False


class PersonaDelta(Closed):
    """Two reviews of a persona; None where one of the jobs has none of it.

    Attributes:
        persona_id: Whose reviews these are.
        confidence_before: In the first job.
        confidence_after: In the second job.
        confidence_delta: After less before, exact.
        blocking_before: Blocking issues in the first job.
        blocking_after: Blocking issues in the second job.
        reused: Whether one of them was taken over.
    """

    persona_id: str
    confidence_before: float | None
    confidence_after: float | None
    confidence_delta: float | None
    blocking_before: int | None
    blocking_after: int | None
    reused: bool


class DecisionDelta(Closed):
    """Two decisions; None where one of the jobs has none."""

    decision_before: DecisionLabel | None
    decision_after: DecisionLabel | None
    confidence_before: float | None
    confidence_after: float | None
    confidence_delta: float | None
    changed: bool


class JobDiff(Closed):
    """What differs between a job and another one.

    Attributes:
        job: The first one: what is before.
        other: The second one: what is after.
        relationship: What the second is to the first.
        sections: Of the proposals, in their order.
        personas: Of all that reviewed in one of them.
        decision: Of the decisions.
    """

    job: str
    other: str
    relationship: Relationship
    sections: list[SectionDiff]
    personas: list[PersonaDelta]
    decision: DecisionDelta


class Compared(Closed):
    """A job as it is compared."""

    job: str
    parent_job: str | None
    proposal: ExpandedProposal
    reviews: dict[str, PersonaReview]
    reused: list[str]
    decision: DecisionAggregation | None


def compare(before: Compared, after: Compared) -> JobDiff:
    """What differs between two jobs."""
    return JobDiff(
        job=before.job,
        other=after.job,
        relationship=_relationship(before, after),
        sections=[section_diff(name, before.proposal, after.proposal) for name in SECTIONS],
        personas=[
            _persona_delta(who, before, after)
            for who in dict.fromkeys([*before.reviews, *after.reviews])
        ],
        decision=_decision_delta(before.decision, after.decision),
    )


SECTIONS: Final = (
    "title",
    "summary",
    *(name for name in FIELDS if name not in {"title", "summary"}),
)


def section_diff(name: str, before: ExpandedProposal, after: ExpandedProposal) -> SectionDiff:
    """What became of a section."""
    old, new = _lines(getattr(before, name)), _lines(getattr(after, name))
    if old == new:
        return SectionDiff(section=name, change=Change.UNCHANGED)
    change = Change.MODIFIED
    if not old or not new:
        change = Change.REMOVED if old else Change.ADDED
    lines = list(difflib.unified_diff(old, new, "before", "after", n=CONTEXT, lineterm=""))
    return SectionDiff(
        section=name, change=change, diff=lines[:MOST_LINES], cut=len(lines) > MOST_LINES
    )


# --- inside ---------------------------------------------------------------------------------------


def _lines(value: str | list[str] | None) -> list[str]:
    if isinstance(value, list):
        return value
    return value.splitlines() if value else []


def _relationship(before: Compared, after: Compared) -> Relationship:
    if before.parent_job == after.job:
        return Relationship.PARENT
    return Relationship.CHILD if after.parent_job == before.job else Relationship.UNRELATED


def _persona_delta(who: str, before: Compared, after: Compared) -> PersonaDelta:
    old, new = before.reviews.get(who), after.reviews.get(who)
    return PersonaDelta(
        persona_id=who,
        confidence_before=None if old is None else old.confidence_score,
        confidence_after=None if new is None else new.confidence_score,
        confidence_delta=_delta(
            None if old is None else exact(old.confidence_score),
            None if new is None else exact(new.confidence_score),
        ),
        blocking_before=None if old is None else len(old.blocking_issues),
        blocking_after=None if new is None else len(new.blocking_issues),
        reused=who in before.reused or who in after.reused,
    )


def _decision_delta(
    before: DecisionAggregation | None, after: DecisionAggregation | None
) -> DecisionDelta:
    old = None if before is None else before.decision
    new = None if after is None else after.decision
    return DecisionDelta(
        decision_before=old,
        decision_after=new,
        confidence_before=None if before is None else before.weighted_confidence,
        confidence_after=None if after is None else after.weighted_confidence,
        confidence_delta=_delta(
            None if before is None else exact(before.weighted_confidence),
            None if after is None else exact(after.weighted_confidence),
        ),
        changed=old != new,
    )


def _delta(before: Decimal | None, after: Decimal | None) -> float | None:
    return None if before is None or after is None else float(after - before)
