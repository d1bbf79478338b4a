"""The decision rules, in exact numbers."""

from decimal import Decimal
from typing import Final

import pytest

from headrace.pipelines.consensus.decision import (
    NO_RECOMMENDATION,
    aggregate,
    decide_quick,
    weighted_confidence,
)
from headrace.pipelines.consensus.errors import DecisionError
from headrace.pipelines.consensus.prompts import prompt_set
from headrace.pipelines.consensus.schemas import BlockingIssue, Concern, PersonaReview

PERSONAS: Final = prompt_set().personas
ARCHITECT, CRITIC, OPTIMIST, GUARDIAN, ADVOCATE = (persona.id for persona in PERSONAS)
NAMES: Final = {persona.id: persona.display_name for persona in PERSONAS}

Issues = dict[str, bool | None]


def review(who: str, score: float, *issues: bool | None) -> PersonaReview:
    """A review with a blocking issue for each `security_critical` that is given."""
    return PersonaReview(
        persona_id=who,
        persona_name=NAMES.get(who, who),
        confidence_score=score,
        blocking_issues=[
            BlockingIssue(text=f"{who} issue {number}", security_critical=critical)
            for number, critical in enumerate(issues)
        ],
        estimated_effort="a month",
    )


def reviews(scores: tuple[float, ...], issues: Issues) -> list[PersonaReview]:
    return [
        review(persona.id, score, *([issues[persona.id]] if persona.id in issues else []))
        for persona, score in zip(PERSONAS, scores, strict=True)
    ]


def alike(score: float) -> tuple[float, ...]:
    return (score,) * 5


HIGH: Final = alike(0.9)
NONE_CRITICAL: Final = (False, None)
TABLE: Final = [
    # scores of architect, critic, optimist, guardian, advocate; blocking issues with their
    # security_critical; weighted confidence, decision, who reports a minority
    (alike(1.0), {}, 1.0, "approve", []),
    (alike(0.0), {}, 0.0, "reject", []),
    (alike(0.8), {}, 0.8, "approve", []),
    (alike(0.7999), {}, 0.7999, "revise", []),
    (alike(0.79995), {}, 0.8, "approve", []),
    (alike(0.79994), {}, 0.7999, "revise", []),
    (alike(0.799949999999), {}, 0.7999, "revise", []),
    (alike(0.6), {}, 0.6, "revise", []),
    (alike(0.5999), {}, 0.5999, "reject", []),
    (alike(0.59995), {}, 0.6, "revise", []),
    (alike(0.59994999), {}, 0.5999, "reject", []),
    ((0.9, 0.8, 0.7, 0.6, 0.5), {}, 0.725, "revise", []),
    ((1.0, 0.0, 0.0, 0.0, 0.0), {}, 0.25, "reject", []),
    ((0.0, 1.0, 0.0, 0.0, 0.0), {}, 0.25, "reject", []),
    ((0.0, 0.0, 1.0, 0.0, 0.0), {}, 0.15, "reject", []),
    ((0.0, 0.0, 0.0, 1.0, 0.0), {}, 0.2, "reject", []),
    ((0.0, 0.0, 0.0, 0.0, 1.0), {}, 0.15, "reject", []),
    # in binary numbers these are 0.7999999999999999 and 0.5999999999999999
    ((0.3, 0.9, 1.0, 1.0, 1.0), {}, 0.8, "approve", [ARCHITECT]),
    ((0.3, 0.9, 0.7, 0.6, 0.5), {}, 0.6, "revise", []),
    # minority reports of an approval: little confidence first, then blocking issues
    ((1.0, 1.0, 0.55, 0.9, 0.9), {}, 0.8975, "approve", [OPTIMIST]),
    ((1.0, 1.0, 0.6, 0.9, 0.9), {}, 0.905, "approve", []),
    ((1.0, 1.0, 0.5999, 0.9, 0.9), {}, 0.905, "approve", [OPTIMIST]),
    (HIGH, {CRITIC: False}, 0.9, "approve", [CRITIC]),
    ((0.9, 0.9, 0.9, 0.9, 0.5), {CRITIC: None}, 0.84, "approve", [ADVOCATE, CRITIC]),
    ((0.9, 0.5, 0.9, 0.9, 0.9), {CRITIC: False}, 0.8, "approve", [CRITIC]),
    # the veto: only of the guardian, only what is critical, only over an approval
    (HIGH, {GUARDIAN: True}, 0.9, "revise", [GUARDIAN]),
    (HIGH, {GUARDIAN: False}, 0.9, "approve", [GUARDIAN]),
    (HIGH, {GUARDIAN: None}, 0.9, "approve", [GUARDIAN]),
    (HIGH, {CRITIC: True}, 0.9, "approve", [CRITIC]),
    (alike(0.7), {GUARDIAN: True}, 0.7, "revise", [GUARDIAN]),
    (alike(0.5), {GUARDIAN: True, CRITIC: True}, 0.5, "reject", []),
    # a revision: those with blocking issues, however little the others trust it
    ((0.9, 0.9, 0.2, 0.9, 0.5), {ARCHITECT: False, ADVOCATE: None}, 0.735, "revise",
     [ARCHITECT, ADVOCATE]),
    ((0.9, 0.9, 0.2, 0.9, 0.5), {}, 0.735, "revise", []),
]  # fmt: skip


class TestDecision:
    @pytest.mark.parametrize(("scores", "issues", "confidence", "label", "minority"), TABLE)
    def test_it_follows_from_the_scores_and_the_blocking_issues(
        self,
        scores: tuple[float, ...],
        issues: Issues,
        confidence: float,
        label: str,
        minority: list[str],
    ):
        decided = aggregate(reviews(scores, issues), PERSONAS)
        assert decided.weighted_confidence == confidence
        assert decided.overall_weighted_confidence == confidence
        assert decided.decision.value == label
        assert [report.persona_id for report in decided.minority_reports] == minority
        first = decided.minority_reports[0] if minority else None
        assert decided.minority_report == first

    def test_the_order_of_the_reviews_changes_nothing(self):
        given = reviews((0.9, 0.5, 0.9, 0.9, 0.9), {ADVOCATE: False})
        assert aggregate(given[::-1], PERSONAS) == aggregate(given, PERSONAS)

    def test_the_breakdown_says_how_it_came_about(self):
        detailed = aggregate(
            reviews((0.9, 0.8, 0.7, 0.6, 0.55), {}), PERSONAS
        ).detailed_score_breakdown
        assert detailed.weights == {
            ARCHITECT: 0.25, CRITIC: 0.25, OPTIMIST: 0.15, GUARDIAN: 0.2, ADVOCATE: 0.15,
        }  # fmt: skip
        assert list(detailed.individual_scores.values()) == [0.9, 0.8, 0.7, 0.6, 0.55]
        assert list(detailed.weighted_contributions.values()) == [0.225, 0.2, 0.105, 0.12, 0.0825]
        assert detailed.formula == (
            "0.25 x 0.9 + 0.25 x 0.8 + 0.15 x 0.7 + 0.20 x 0.6 + 0.15 x 0.55 = 0.7325"
        )


class TestConfidence:
    @pytest.mark.parametrize(
        ("weight", "score", "expected"),
        [
            ("1.0001", "1", "1.0000"),
            ("1.0001", "0.99995", "1.0000"),
            ("-1", "1", "0.0000"),
            ("1", "0.00005", "0.0001"),
            ("1", "0.00004", "0.0000"),
            ("0.3333", "0.3333", "0.1111"),
        ],
    )
    def test_it_stays_between_0_and_1_with_four_decimals(
        self, weight: str, score: str, expected: str
    ):
        found = weighted_confidence({"one": Decimal(score)}, {"one": Decimal(weight)})
        assert str(found) == expected

    def test_nobody_is_no_confidence(self):
        with pytest.raises(DecisionError, match="no review"):
            weighted_confidence({}, {"one": Decimal(1)})

    def test_a_persona_without_weight_is_refused(self):
        with pytest.raises(DecisionError, match="nobody who was asked: two"):
            weighted_confidence({"two": Decimal(1)}, {"one": Decimal(1)})


class TestCompleteness:
    def test_a_missing_review_is_refused_rather_than_weighed_out(self):
        with pytest.raises(DecisionError, match=r"missing: security_guardian$"):
            aggregate([one for one in reviews(HIGH, {}) if one.persona_id != GUARDIAN], PERSONAS)

    def test_no_review_at_all_is_refused(self):
        with pytest.raises(DecisionError, match="missing"):
            aggregate([], PERSONAS)

    def test_a_review_of_somebody_else_is_refused(self):
        with pytest.raises(DecisionError, match="nobody who was asked: owner"):
            aggregate([*reviews(HIGH, {}), review("owner", 1.0)], PERSONAS)

    def test_two_reviews_of_one_persona_are_refused(self):
        with pytest.raises(DecisionError, match="two reviews of critic"):
            aggregate([*reviews(HIGH, {}), review(CRITIC, 1.0)], PERSONAS)


class TestMinorityReport:
    def test_blocking_issues_and_recommendations_are_joined(self):
        given = reviews(HIGH, {})
        given[1] = review(CRITIC, 0.9, *NONE_CRITICAL).model_copy(
            update={
                "recommendations": ["Wait.", "Ask."],
                "strengths": ["Short."],
                "concerns": [Concern(text="Late."), Concern(text="Dear.", is_blocking=True)],
            }
        )
        [report] = aggregate(given, PERSONAS).minority_reports
        assert (report.persona_name, report.confidence_score) == ("Critic", 0.9)
        assert report.blocking_summary == "critic issue 0; critic issue 1"
        assert report.mitigation_recommendation == "Wait.; Ask."
        assert (report.strengths, report.concerns) == (["Short."], ["Late.", "Dear."])

    def test_without_them_it_tells_of_the_confidence(self):
        [report] = aggregate(reviews((1.0, 1.0, 0.5, 1.0, 1.0), {}), PERSONAS).minority_reports
        assert report.blocking_summary == "Optimist has little confidence: 0.5"
        assert report.mitigation_recommendation == NO_RECOMMENDATION


class TestQuickDecision:
    @pytest.mark.parametrize(
        ("score", "issues", "label"),
        [
            (0.7, (), "approve"),
            (0.6999, (), "revise"),
            (0.69995, (), "approve"),
            (0.0, (), "revise"),
            (1.0, (False,), "reject"),
            (1.0, (None,), "reject"),
            (1.0, (True,), "reject"),
        ],
    )
    def test_any_blocking_issue_rejects(
        self, score: float, issues: tuple[bool | None, ...], label: str
    ):
        assert decide_quick(review("generic_reviewer", score, *issues)).decision.value == label
