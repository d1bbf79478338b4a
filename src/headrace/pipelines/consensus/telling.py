"""Results in words, for people who read them on a terminal or in a mail."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from headrace.pipelines.consensus.outcomes import ConsensusResult, ExpandResult, QuickResult
    from headrace.pipelines.consensus.schemas import (
        DecisionAggregation,
        ExpandedProposal,
        PersonaReview,
    )

WIDTH: Final = 100
MARKS: Final = {"approve": "APPROVE", "revise": "REVISE", "reject": "REJECT"}


def consensus_text(result: ConsensusResult) -> str:
    """A decision with all reviews."""
    return "\n".join(
        (
            *_decision(result.decision, result.proposal),
            f"  {result.decision.detailed_score_breakdown.formula}",
            *_reviews(result.reviews, result.reused),
            *_dissent(result.decision),
            *_origin(result.answered_by, result.models, result.tokens.total),
        )
    )


def quick_text(result: QuickResult) -> str:
    """A decision with its one review."""
    return "\n".join(
        (
            *_decision(result.decision, result.proposal),
            *_reviews([result.review], ()),
            *_origin(result.answered_by, result.models, result.tokens.total),
        )
    )


def expand_text(result: ExpandResult) -> str:
    """A proposal."""
    proposal = result.proposal
    parts = (
        ("Problem", [proposal.problem_statement]),
        ("Solution", [proposal.proposed_solution]),
        ("Assumptions", proposal.assumptions),
        ("Not in scope", proposal.scope_non_goals),
    )
    return "\n".join(
        (
            proposal.title or "Proposal",
            *(line for name, texts in parts if texts for line in ("", name, *_points(texts))),
            *_origin(result.answered_by, result.models, result.tokens.total),
        )
    )


def _decision(decision: DecisionAggregation, proposal: ExpandedProposal) -> Iterator[str]:
    label = MARKS[decision.decision.value]
    yield f"{label}  {decision.weighted_confidence:.4f}  {proposal.title or ''}".rstrip()


def _reviews(reviews: Iterable[PersonaReview], reused: Sequence[str]) -> Iterator[str]:
    for review in reviews:
        taken = "  (of the job before)" if review.persona_id in reused else ""
        yield ""
        yield f"{review.persona_name}  {review.confidence_score:g}{taken}"
        yield from _marked("+", review.strengths)
        blocking = {issue.text for issue in review.blocking_issues}
        yield from _marked("-", [one.text for one in review.concerns if one.text not in blocking])
        for issue in review.blocking_issues:
            danger = " (security)" if issue.security_critical else ""
            yield from _marked("!", [f"Blocking{danger}: {issue.text}"])
        yield from _marked(">", review.recommendations)


def _dissent(decision: DecisionAggregation) -> Iterator[str]:
    for report in decision.minority_reports:
        yield ""
        yield f"Minority report of {report.persona_name}"
        yield from _points([report.blocking_summary, report.mitigation_recommendation])


def _origin(answered_by: list[str], models: list[str], tokens: int) -> Iterator[str]:
    yield ""
    if answered_by == ["offline"]:
        yield "Answered offline: computed from the words of the idea, no model was asked."
    else:
        yield f"Answered by {', '.join(answered_by)} ({', '.join(models)}), {tokens:,} tokens."


def _marked(mark: str, texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        yield textwrap.fill(text, WIDTH, initial_indent=f"  {mark} ", subsequent_indent="    ")


def _points(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        yield textwrap.fill(text, WIDTH, initial_indent="  ", subsequent_indent="  ")
