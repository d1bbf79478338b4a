"""The small pipelines, and the ideas that are shipped."""

from headrace.pipelines.consensus import (
    DecisionLabel,
    IdeaInput,
    consensus,
    expand_only,
    quick,
    sample_ideas,
)
from headrace.testing import Engine
from tests.consensus.scripted import NAME, Script
from tests.consensus.test_reviewing import IDEA


class TestSmallPipelines:
    async def test_an_expansion_alone(self, engine: Engine, script: Script):
        job = await engine.submit(expand_only, IDEA)
        await engine.run_until_empty(30)
        result = await job.result()
        assert result.proposal.proposed_solution == IDEA.idea
        assert (result.answered_by, script.steps) == ([NAME], ["expand"])

    async def test_a_quick_review_has_one_reviewer(self, engine: Engine, script: Script):
        job = await engine.submit(quick, IDEA)
        await engine.run_until_empty(30)
        result = await job.result()
        assert (result.review.persona_id, result.review.persona_name) == (
            "generic_reviewer", "GenericReviewer",
        )  # fmt: skip
        assert result.decision.decision is DecisionLabel.APPROVE
        assert script.steps == ["expand", "review"]
        assert [step.name for step in (await job.status()).steps] == [
            "expand", "review", "aggregate",
        ]  # fmt: skip


class TestSamples:
    async def test_they_show_an_approval_with_dissent_a_veto_and_a_rejection(self, engine: Engine):
        jobs = {
            name: await engine.submit(consensus, IdeaInput.from_text(text))
            for name, text in sample_ideas().items()
        }
        await engine.run_until_empty(30)
        decided = {name: (await job.result()).decision for name, job in jobs.items()}
        assert {name: one.decision.value for name, one in decided.items()} == {
            "clinic-reminders": "revise",
            "coin-arcade": "reject",
            "tool-library": "approve",
        }
        veto = decided["clinic-reminders"]
        assert veto.weighted_confidence >= 0.8
        assert [one.persona_id for one in veto.minority_reports] == ["security_guardian"]
        assert [one.persona_id for one in decided["tool-library"].minority_reports] == [
            "user_advocate"
        ]
