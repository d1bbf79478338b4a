from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest

from headrace import JobState
from headrace.errors import TransitionError
from headrace.model.job import (
    FINAL_STATES,
    STEP_TRANSITIONS,
    TRANSITIONS,
    WAIT_REASONS,
    Event,
    StepState,
    WaitReason,
    allowed_pairs,
    follow,
    render_transition_check,
)

MIGRATIONS = Path(__file__).parents[3] / "src/headrace/store/migrations"


def pairs_in(sql: str) -> set[tuple[str, str]]:
    return set(re.findall(r"\('(\w+)',\s*'(\w+)'\)", sql))


class TestTransitions:
    def test_every_state_has_a_way_to_a_final_one(self):
        ways = {
            state: {target for source, target in allowed_pairs() if source is state}
            for state in JobState
        }
        for state in JobState:
            reached = {state}
            while not reached & FINAL_STATES:
                grown = reached.union(*(ways[one] for one in reached))
                assert grown != reached, f"{state} never ends"
                reached = grown

    def test_every_state_is_reached_from_a_submission(self):
        reached = {None}
        for _ in JobState:
            reached |= {target for source, target in allowed_pairs() if source in reached}
        assert reached == {None, *JobState}

    @pytest.mark.parametrize(("state", "event"), list(product([None, *JobState], Event)))
    def test_follow_is_the_table_and_refuses_the_rest(self, state: JobState | None, event: Event):
        if (state, event) in TRANSITIONS:
            assert follow(state, event) is TRANSITIONS[state, event]
        else:
            with pytest.raises(TransitionError) as caught:
                follow(state, event)
            assert caught.value.event == event

    def test_a_final_state_is_left_only_by_a_new_run(self):
        assert {event for state, event in TRANSITIONS if state in FINAL_STATES} == {Event.RESTARTED}

    def test_each_event_that_queues_a_job_has_its_reasons_and_each_reason_its_event(self):
        queuing = {event for (_, event), target in TRANSITIONS.items() if target == "queued"}
        assert set(WAIT_REASONS) == queuing
        assert set().union(*WAIT_REASONS.values()) == set(WaitReason)


class TestSteps:
    def test_a_step_ends_completed_failed_or_skipped(self):
        left = {source for source, _ in STEP_TRANSITIONS}
        assert set(StepState) - left == {
            StepState.COMPLETED,
            StepState.FAILED,
            StepState.SKIPPED,
        }


class TestSql:
    def test_the_rendered_check_holds_every_pair_once(self):
        expected = {(str(one), str(other)) for one, other in allowed_pairs() if one is not None}
        assert pairs_in(render_transition_check()) == expected

    def test_only_a_new_run_leaves_a_final_state(self):
        same_run, new_run = render_transition_check().split("\nor ")
        assert {source for source, _ in pairs_in(new_run)} == FINAL_STATES
        assert not {source for source, _ in pairs_in(same_run)} & FINAL_STATES
        assert "new.run = old.run + 1" in new_run

    def test_the_trigger_of_the_schema_allows_the_same_pairs(self):
        schema = "".join(path.read_text() for path in sorted(MIGRATIONS.glob("*.sql")))
        trigger = schema.partition("create trigger jobs_transition")[2].partition(";")[0]
        assert pairs_in(trigger) == pairs_in(render_transition_check())

    def test_the_states_of_the_schema_are_these(self):
        schema = "".join(path.read_text() for path in sorted(MIGRATIONS.glob("*.sql")))
        states = re.search(r"constraint jobs_state check \(state in \((.*?)\)\)", schema)
        assert states is not None
        assert set(re.findall(r"'(\w+)'", states[1])) == set(JobState)
