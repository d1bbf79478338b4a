"""Revisions: what reaches the expansion, who reviews again, what is taken over, what differs."""

import json
from typing import Any, Final

import pytest

from headrace import JobHandle
from headrace.errors import InputError
from headrace.pipelines.consensus import (
    ConsensusResult,
    Edit,
    IdeaInput,
    Parameters,
    Reviews,
    Revision,
    consensus,
)
from headrace.pipelines.consensus.blocks import read_blocks
from headrace.pipelines.consensus.errors import (
    ParentNotCompletedError,
    ParentNotFoundError,
    RevisionDepthError,
    RevisionRefusedError,
)
from headrace.pipelines.consensus.parents import is_open
from headrace.pipelines.consensus.schemas import BlockingIssue, PersonaReview
from headrace.pipelines.consensus.settings import consensus_settings
from headrace.testing import Engine
from tests.consensus.scripted import NAME, Script

IDEA: Final = IdeaInput(
    idea="A mill.", extra_context="By the river.", parameters=Parameters(review_model="small")
)
PERSONAS: Final = ["architect", "critic", "optimist", "security_guardian", "user_advocate"]
ORIGIN: Final = {"client": NAME, "model": "small"}
NOTES: Final = Edit(notes="Grind by night.")


async def run(engine: Engine, given: IdeaInput = IDEA, **options: Any) -> JobHandle[Any]:
    job = await engine.submit(consensus, given, **options)
    await engine.run_until_empty(30)
    return job


async def revise(
    engine: Engine, reviews: Reviews, job: JobHandle[Any], edit: Edit
) -> ConsensusResult:
    revised = await reviews.revise(job.id, edit)
    await engine.run_until_empty(30)
    return await revised.job.result()


async def version(engine: Engine, job: JobHandle[Any]) -> dict[str, Any]:
    async with engine.connection() as connection:
        row = await connection.fetchrow(
            "select * from headrace_consensus.proposal_versions where job = $1", job.id
        )
    assert row is not None
    return dict(row)


class TestEdits:
    async def test_they_reach_the_expansion_with_the_parents_proposal(
        self, engine: Engine, reviews: Reviews, script: Script
    ):
        parent = await run(engine)
        script.calls.clear()
        edit = Edit(proposal={"title": "Night mill"}, notes="Grind by night.", personas=["critic"])
        revised = await reviews.revise(parent.id, edit)
        await engine.run_until_empty(30)
        blocks = read_blocks(script.asked("expand").user)
        assert json.loads(blocks["parent_proposal"])["proposed_solution"] == "A mill."
        assert json.loads(blocks["edited_proposal"]) == {"title": "Night mill"}
        assert blocks["edit_notes"] == "Grind by night."
        assert (blocks["idea"], blocks["extra_context"]) == ("A mill.", "By the river.")
        result = await revised.job.result()
        assert result.proposal.title == "Night mill"
        assert "Grind by night." in result.proposal.proposed_solution
        assert result.parent_job == parent.id
        assert (await revised.job.status()).parent_job == parent.id
        stored = await version(engine, revised.job)
        assert (str(stored["parent_job"]), stored["depth"], stored["edit_notes"]) == (
            parent.id, 1, "Grind by night.",
        )  # fmt: skip
        assert json.loads(stored["diff"]) == {
            "changed": {
                "title": {"before": "A mill", "after": "Night mill"},
                "proposed_solution": {
                    "before": "A mill.", "after": "A mill.\n\nChanged: Grind by night.",
                },
            },
            "count": 2,
        }  # fmt: skip

    async def test_what_was_written_stands_whatever_the_model_makes_of_it(
        self, engine: Engine, reviews: Reviews, script: Script
    ):
        parent = await run(engine)
        script.corrections["expand"] = {"proposed_solution": "Something else.", "title": "Other"}
        edit = Edit(proposal="  A mill by night. ", personas=["critic"])
        result = await revise(engine, reviews, parent, edit)
        assert result.proposal.proposed_solution == "A mill by night."
        assert result.proposal.title == "Other"

    async def test_the_parents_parameters_hold_where_the_edit_says_nothing(
        self, engine: Engine, reviews: Reviews, script: Script
    ):
        parent = await run(engine)
        script.calls.clear()
        edit = Edit(
            notes="Grind by night.",
            idea="Two mills.",
            extra_context={"at": "sea"},
            parameters=Parameters(review_temperature=0.9),
            personas=["critic"],
        )
        await revise(engine, reviews, parent, edit)
        asked = script.asked("review_critic")
        assert (asked.model, asked.temperature) == ("small", 0.9)
        assert read_blocks(script.asked("expand").user)["idea"] == "Two mills."


class TestWhoReviewsAgain:
    @pytest.mark.parametrize(
        ("score", "issues", "has_veto", "expected"),
        [
            (0.7, [], False, False),
            (0.6999, [], False, True),
            (1.0, [None], False, True),
            (1.0, [False], True, True),
            (1.0, [True], True, True),
            (0.7, [], True, False),
        ],
    )
    def test_who_has_little_confidence_or_a_blocking_issue(
        self, score: float, issues: list[bool | None], *, has_veto: bool, expected: bool
    ):
        review = PersonaReview(
            persona_id="critic",
            persona_name="Critic",
            confidence_score=score,
            blocking_issues=[BlockingIssue(text="x", security_critical=one) for one in issues],
            estimated_effort="a day",
        )
        assert is_open(review, 0.7, has_veto=has_veto) is expected

    async def test_the_others_are_taken_over_as_items_without_a_call(
        self, engine: Engine, reviews: Reviews, script: Script
    ):
        script.corrections = {
            "review_critic": {"confidence_score": 0.6},
            "review_security": {"blocking_issues": [{"text": "Open.", "security_critical": True}]},
        }
        parent = await run(engine)
        before = {one.persona_id: one for one in (await parent.result()).reviews}
        script.calls.clear()
        script.corrections = {}
        revised = await reviews.revise(parent.id, NOTES)
        assert revised.personas_rerun == ["critic", "security_guardian"]
        assert revised.personas_reused == ["architect", "optimist", "user_advocate"]
        await engine.run_until_empty(30)
        assert script.steps == ["expand", "review_critic", "review_security"]
        result = await revised.job.result()
        assert result.reused == revised.personas_reused
        after = {one.persona_id: one for one in result.reviews}
        marks = {"reused": True, "reused_from": parent.id}
        for who in revised.personas_reused:
            assert after[who].internal_metadata == {
                **(before[who].internal_metadata or {}),
                **marks,
            }
            assert after[who].model_copy(update={"internal_metadata": None}) == before[
                who
            ].model_copy(update={"internal_metadata": None})
        for who in revised.personas_rerun:
            assert "reused" not in (after[who].internal_metadata or {})
        status = await revised.job.status()
        items = status.steps[1].items
        assert items is not None
        taken = {item.key: (item.state, (item.metadata or {}).get("reused_from")) for item in items}
        assert taken == {
            "review_architect": ("completed", parent.id),
            "review_critic": ("completed", None),
            "review_optimist": ("completed", parent.id),
            "review_security": ("completed", None),
            "review_user_advocate": ("completed", parent.id),
        }  # fmt: skip
        async with engine.connection() as connection:
            stored = await connection.fetch(
                "select persona, reused_from from headrace_consensus.persona_reviews"
                " where job = $1 and reused_from is not null order by persona",
                revised.job.id,
            )
        assert [(row[0], str(row[1])) for row in stored] == [
            (who, parent.id) for who in revised.personas_reused
        ]

    async def test_a_review_by_other_prompts_is_taken_over_marked_and_told(
        self, engine: Engine, reviews: Reviews
    ):
        parent = await run(engine)
        async with engine.connection() as connection:
            await connection.execute(
                "update headrace_consensus.persona_reviews set prompt_set_version = '0.9.0'"
                " where persona = 'critic'"
            )
        result = await revise(engine, reviews, parent, Edit(notes="x", personas=["optimist"]))
        assert result.version_audit.model_dump() == {
            "schema_versions": ["1.0.0"], "prompt_set_versions": ["0.9.0", "1.0.0"],
            "is_mixed": True,
        }  # fmt: skip
        async with engine.connection() as connection:
            marked = await connection.fetch(
                "select has_mixed_versions from headrace_consensus.decisions order by created_at"
            )
        assert [row[0] for row in marked] == [False, True]

    async def test_nobody_means_no_call_at_all(
        self, engine: Engine, reviews: Reviews, script: Script
    ):
        parent = await run(engine)
        script.calls.clear()
        edit = Edit(proposal={"title": "New"}, notes="Grind by night.", personas=[])
        result = await revise(engine, reviews, parent, edit)
        assert script.calls == []
        assert result.reused == PERSONAS
        assert result.proposal.title == "New"
        assert result.tokens.total == 0
        assert result.decision == (await parent.result()).decision

    async def test_everybody_may_be_named(self, engine: Engine, reviews: Reviews, script: Script):
        parent = await run(engine)
        script.calls.clear()
        result = await revise(engine, reviews, parent, Edit(notes="Again.", personas=PERSONAS))
        assert (len(script.calls), result.reused) == (6, [])

    async def test_the_threshold_may_be_chosen(self, engine: Engine, reviews: Reviews):
        parent = await run(engine)
        strict = await reviews.prepare(parent.id, Edit(notes="x", rerun_threshold=1.0))
        assert strict.personas_rerun == PERSONAS
        lax = await reviews.prepare(parent.id, Edit(notes="x", rerun_threshold=0.0))
        assert lax.personas_reused == PERSONAS

    async def test_a_review_of_the_grandparent_is_still_there(
        self, engine: Engine, reviews: Reviews, script: Script
    ):
        first = await run(engine)
        second = await reviews.revise(first.id, Edit(notes="Again.", personas=["critic"]))
        await engine.run_until_empty(30)
        script.calls.clear()
        third = await reviews.revise(second.job.id, Edit(notes="Again.", personas=["optimist"]))
        await engine.run_until_empty(30)
        assert script.steps == ["expand", "review_optimist"]
        assert len((await third.job.result()).reviews) == 5
        assert (await version(engine, third.job))["depth"] == 2


class TestRefusals:
    async def test_without_an_edit(self, reviews: Reviews):
        with pytest.raises(RevisionRefusedError, match="needs an edited proposal or notes"):
            await reviews.revise("01890000-0000-7000-8000-000000000000", Edit(notes="  "))

    async def test_of_what_is_no_job(self, engine: Engine, reviews: Reviews):
        assert await engine.jobs() == []
        with pytest.raises(RevisionRefusedError, match="no id"):
            await reviews.revise("job", NOTES)
        with pytest.raises(ParentNotFoundError):
            await reviews.revise("01890000-0000-7000-8000-000000000000", NOTES)

    async def test_of_a_job_of_somebody_else(self, engine: Engine, reviews: Reviews):
        parent = await run(engine, tenant="Acme", owner="Ada")
        for whose in ({"tenant": "Acme"}, {"owner": "Ada"}, {"tenant": "Acme", "owner": "Bob"}):
            with pytest.raises(ParentNotFoundError):
                await reviews.revise(parent.id, NOTES, **whose)

    async def test_of_a_job_that_did_not_complete(self, engine: Engine, reviews: Reviews):
        waiting = await engine.submit(consensus, IDEA)
        with pytest.raises(ParentNotCompletedError, match="is queued"):
            await reviews.revise(waiting.id, NOTES)

    async def test_by_a_persona_that_there_is_not(self, engine: Engine, reviews: Reviews):
        parent = await run(engine)
        with pytest.raises(RevisionRefusedError, match="no persona owner; there are architect"):
            await reviews.revise(parent.id, Edit(notes="x", personas=["owner"]))

    async def test_with_what_does_not_fit(self, engine: Engine, reviews: Reviews):
        parent = await run(engine)
        with pytest.raises(InputError, match=r"\$\.revision\.edit_notes: .*MAX_EDIT_NOTES_LENGTH"):
            await reviews.revise(parent.id, Edit(notes="x" * 10_001))

    async def test_beyond_the_depth(self, engine: Engine, reviews: Reviews):
        parent = await run(engine)
        most = consensus_settings().revision_depth
        async with engine.connection() as connection:
            await connection.execute(
                "update headrace_consensus.proposal_versions"
                " set depth = $1, parent_job = job, diff = '{}'",
                most,
            )
        with pytest.raises(RevisionDepthError, match=f"revision {most} in a row"):
            await reviews.revise(parent.id, NOTES)

    async def test_a_job_that_names_the_parent_of_somebody_else_fails(
        self, engine: Engine, script: Script
    ):
        parent = await run(engine, owner="Ada")
        script.calls.clear()
        given = IdeaInput(idea="A mill.", revision=Revision(parent=parent.id, edit_notes="Mine."))
        job = await run(engine, given, owner="Bob")
        error = (await job.status()).error
        assert error is not None
        assert (error.step, error.kind) == ("expand", "user")
        assert script.calls == []
