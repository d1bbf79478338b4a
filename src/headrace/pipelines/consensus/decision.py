"""From reviews to a decision: arithmetic in exact decimals, no model, no state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import TYPE_CHECKING, Final

from headrace.pipelines.consensus.errors import DecisionError
from headrace.pipelines.consensus.schemas import (
    DecisionAggregation,
    DecisionLabel,
    MinorityReport,
    PersonaReview,
    ScoreBreakdown,
    exact,
)

if TYPE_CHECKING:
    from headrace.pipelines.consensus.personas import Persona

APPROVE_FROM: Final = Decimal("0.80")
REVISE_FROM: Final = Decimal("0.60")
QUICK_APPROVE_FROM: Final = Decimal("0.70")
LOW_CONFIDENCE: Final = Decimal("0.60")
"""An approval is not shared by a persona with less."""
PLACES: Final = Decimal("0.0001")
DIGITS: Final = 60
"""Room for the products and sums of any scores: nothing is rounded before the end."""
NO_RECOMMENDATION: Final = "Address the concerns above before going on."


def weighted_confidence(scores: Mapping[str, Decimal], weights: Mapping[str, Decimal]) -> Decimal:
    """The sum of weight times score, between 0 and 1, with four decimals (half is rounded up).

    Args:
        scores: By persona.
        weights: By persona; those without a score contribute nothing.

    Raises:
        DecisionError: There is no score, or one of a persona without a weight.
    """
    if not scores:
        raise DecisionError("there is no review to decide on")
    unknown = sorted(set(scores) - set(weights))
    if unknown:
        raise DecisionError(f"a review is of nobody who was asked: {', '.join(unknown)}")
    with localcontext(prec=DIGITS):
        total = sum((weights[who] * score for who, score in scores.items()), Decimal(0))
        return min(max(total, Decimal(0)), Decimal(1)).quantize(PLACES, ROUND_HALF_UP)


def label_of(confidence: Decimal, *, vetoed: bool) -> DecisionLabel:
    """The decision for a weighted confidence; a veto turns an approval into a revision."""
    if confidence >= APPROVE_FROM:
        return DecisionLabel.REVISE if vetoed else DecisionLabel.APPROVE
    return DecisionLabel.REVISE if confidence >= REVISE_FROM else DecisionLabel.REJECT


def aggregate(reviews: Sequence[PersonaReview], personas: Sequence[Persona]) -> DecisionAggregation:
    """The decision on a proposal.

    Args:
        reviews: One of each persona, in any order.
        personas: Who was asked, with their weights.

    Raises:
        DecisionError: A review is missing, comes twice, or is of nobody who was asked.
    """
    by_persona = _complete(reviews, personas)
    weights = {persona.id: persona.default_weight for persona in personas}
    scores = {who: exact(review.confidence_score) for who, review in by_persona.items()}
    confidence = weighted_confidence(scores, weights)
    vetoed = any(
        persona.has_veto and by_persona[persona.id].is_security_critical for persona in personas
    )
    label = label_of(confidence, vetoed=vetoed)
    return _aggregation(confidence, label, _breakdown(scores, weights, confidence), by_persona)


def decide_quick(review: PersonaReview) -> DecisionAggregation:
    """The decision of a quick review, which has one reviewer of weight 1."""
    confidence = exact(review.confidence_score).quantize(PLACES, ROUND_HALF_UP)
    if review.blocking_issues:
        label = DecisionLabel.REJECT
    elif confidence >= QUICK_APPROVE_FROM:
        label = DecisionLabel.APPROVE
    else:
        label = DecisionLabel.REVISE
    who = review.persona_id
    scores, weights = {who: exact(review.confidence_score)}, {who: Decimal(1)}
    breakdown = _breakdown(scores, weights, confidence)
    return _aggregation(confidence, label, breakdown, {})


def minority_reports(
    label: DecisionLabel, reviews: Sequence[PersonaReview]
) -> list[MinorityReport]:
    """Who does not agree with a decision, the first one the most telling.

    An approval: those with a confidence below 0.60, then those with blocking issues. A revision:
    those with blocking issues. A rejection: nobody.
    """
    blocking = [review for review in reviews if review.blocking_issues]
    if label is DecisionLabel.REJECT:
        return []
    if label is DecisionLabel.REVISE:
        return [_report(review) for review in blocking]
    low = [review for review in reviews if exact(review.confidence_score) < LOW_CONFIDENCE]
    return [_report(review) for review in (*low, *(one for one in blocking if one not in low))]


# --- inside ---------------------------------------------------------------------------------------


def _complete(
    reviews: Sequence[PersonaReview], personas: Sequence[Persona]
) -> dict[str, PersonaReview]:
    """The reviews by persona, in the order of the personas."""
    found = [review.persona_id for review in reviews]
    asked = [persona.id for persona in personas]
    unknown = sorted(set(found) - set(asked))
    if unknown:
        raise DecisionError(f"a review is of nobody who was asked: {', '.join(unknown)}")
    missing = [who for who in asked if who not in found]
    if missing or not asked:
        raise DecisionError(f"reviews are missing: {', '.join(missing) or 'all'}")
    if len(found) != len(asked):
        twice = sorted({who for who in found if found.count(who) > 1})
        raise DecisionError(f"there are two reviews of {', '.join(twice)}")
    by_persona = {review.persona_id: review for review in reviews}
    return {who: by_persona[who] for who in asked}


def _breakdown(
    scores: Mapping[str, Decimal], weights: Mapping[str, Decimal], confidence: Decimal
) -> ScoreBreakdown:
    with localcontext(prec=DIGITS):
        contributions = {who: float(weights[who] * score) for who, score in scores.items()}
    terms = " + ".join(f"{weights[who]} x {score}" for who, score in scores.items())
    return ScoreBreakdown(
        weights={who: float(weights[who]) for who in scores},
        individual_scores={who: float(score) for who, score in scores.items()},
        weighted_contributions=contributions,
        formula=f"{terms} = {confidence}",
    )


def _aggregation(
    confidence: Decimal,
    label: DecisionLabel,
    breakdown: ScoreBreakdown,
    by_persona: Mapping[str, PersonaReview],
) -> DecisionAggregation:
    reports = minority_reports(label, list(by_persona.values()))
    return DecisionAggregation(
        overall_weighted_confidence=float(confidence),
        weighted_confidence=float(confidence),
        decision=label,
        score_breakdown=breakdown.weighted_contributions,
        detailed_score_breakdown=breakdown,
        minority_report=reports[0] if reports else None,
        minority_reports=reports,
    )


def _report(review: PersonaReview) -> MinorityReport:
    issues = "; ".join(issue.text for issue in review.blocking_issues)
    return MinorityReport(
        persona_id=review.persona_id,
        persona_name=review.persona_name,
        confidence_score=review.confidence_score,
        blocking_summary=issues
        or f"{review.persona_name} has little confidence: {exact(review.confidence_score)}",
        mitigation_recommendation="; ".join(review.recommendations) or NO_RECOMMENDATION,
        strengths=review.strengths,
        concerns=[concern.text for concern in review.concerns],
    )
