"""What differs between two jobs, from what is stored."""

import pytest

from headrace.pipelines.consensus import Edit, Reviews
from headrace.pipelines.consensus.errors import ParentNotFoundError, RevisionRefusedError
from headrace.testing import Engine
from tests.consensus.scripted import Script
from tests.consensus.test_revising import run


class TestDiff:
    async def test_it_tells_what_a_revision_changed(
        self, engine: Engine, reviews: Reviews, script: Script
    ):
        parent = await run(engine)
        script.corrections["review_critic"] = {"confidence_score": 0.1}
        edit = Edit(
            proposal={"title": "Night mill", "assumptions": ["Wind."], "scope_non_goals": []},
            personas=["critic"],
        )
        revised = await reviews.revise(parent.id, edit)
        await engine.run_until_empty(30)
        script.calls.clear()
        diff = await reviews.diff(parent.id, revised.job.id)
        assert script.calls == []
        assert (diff.job, diff.other, diff.relationship) == (parent.id, revised.job.id, "child")
        assert {one.section: one.change.value for one in diff.sections} == {
            "title": "modified",
            "summary": "unchanged",
            "problem_statement": "unchanged",
            "proposed_solution": "unchanged",
            "assumptions": "modified",
            "scope_non_goals": "removed",
        }
        assert diff.sections[0].diff == [
            "--- before", "+++ after", "@@ -1 +1 @@", "-A mill", "+Night mill",
        ]  # fmt: skip
        critic = next(one for one in diff.personas if one.persona_id == "critic")
        assert (critic.confidence_before, critic.confidence_after, critic.confidence_delta) == (
            0.86, 0.1, -0.76,
        )  # fmt: skip
        assert [one.reused for one in diff.personas] == [True, False, True, True, True]
        assert (diff.decision.decision_before, diff.decision.decision_after) == (
            "approve", "revise",
        )  # fmt: skip
        assert diff.decision.confidence_delta == -0.19
        back = await reviews.diff(revised.job.id, parent.id)
        assert (back.relationship, back.sections[-1].change) == ("parent", "added")

    async def test_a_long_one_is_cut_and_says_so(self, engine: Engine, reviews: Reviews):
        parent = await run(engine)
        lines = "\n".join(f"line {number}" for number in range(100))
        revised = await reviews.revise(parent.id, Edit(proposal=lines, personas=[]))
        await engine.run_until_empty(30)
        solution = (await reviews.diff(parent.id, revised.job.id)).sections[3]
        assert solution.section == "proposed_solution"
        assert (len(solution.diff), solution.cut) == (50, True)

    async def test_jobs_that_do_not_belong_together(self, engine: Engine, reviews: Reviews):
        one, other = await run(engine), await run(engine)
        diff = await reviews.diff(one.id, other.id)
        assert diff.relationship == "unrelated"
        assert {section.change.value for section in diff.sections} == {"unchanged"}
        assert not diff.decision.changed

    async def test_of_itself_or_of_somebody_else_there_is_none(
        self, engine: Engine, reviews: Reviews
    ):
        one, other = await run(engine), await run(engine, owner="Ada")
        with pytest.raises(RevisionRefusedError, match="itself"):
            await reviews.diff(one.id, one.id)
        with pytest.raises(ParentNotFoundError):
            await reviews.diff(one.id, other.id)
