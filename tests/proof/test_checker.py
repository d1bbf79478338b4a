"""Each invariant is broken once, and the checker has to say exactly that one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.proof.checker import check
from tests.proof.database import Change, Held
from tests.proof.evidence import Expectations
from tests.proof.journal import Request
from tests.proof.results import stale_starts
from tests.proof.world import BODY, DRAINED, World, effect_of

LOSSY = replace(DRAINED, at_least={"each": 1})


async def test_nothing_is_found_where_nothing_is_wrong(world: World) -> None:
    assert check(await world.evidence()) == []


class TestAcceptance:
    async def test_i1_an_accepted_job_that_is_not_stored(self, world: World) -> None:
        await world.plant("delete from headrace.jobs where id = $1", world.cancelled)
        await world.plant("delete from headrace.job_events where job = $1", world.cancelled)
        assert await world.found() == {"I1"}

    async def test_i1_a_job_that_is_stored_with_another_input(self, world: World) -> None:
        await world.plant("update headrace.jobs set input = '{}' where id = $1", world.done)
        assert await world.found() == {"I1"}

    async def test_i2_a_job_that_still_waits_after_the_drain(self, world: World) -> None:
        await world.engine.submit()
        assert await world.found() == {"I2"}

    async def test_i2_but_not_one_that_is_scheduled(self, world: World) -> None:
        await world.engine.submit(wait_s=1000)
        assert await world.found() == set()

    async def test_i9_two_jobs_for_one_key(self, world: World) -> None:
        evidence = await world.evidence()
        told = [
            Request(outcome="ok", pipeline="proof", body=BODY, job=str(job), key="k")
            for job in (world.done, world.lost)
        ]
        found = check(replace(evidence, journal=told))
        assert {violation.invariant for violation in found} == {"I9"}


class TestHistory:
    async def test_i3_a_run_that_ends_twice(self, world: World) -> None:
        await world.plant(
            """
            insert into headrace.job_events (job, seq, run, from_state, to_state, reason)
            select job, seq + 1, run, to_state, 'failed', 'failed'
            from headrace.job_events where job = $1 and seq = 2
            """,
            world.cancelled,
        )
        # A second end is never on the path either; its failed run has no dead letter.
        assert await world.found() == {"I3", "I4", "DEAD"}

    async def test_i4_a_gap_in_the_history(self, world: World) -> None:
        await world.plant(
            "update headrace.job_events set seq = 9 where job = $1 and seq = 2", world.cancelled
        )
        assert await world.found() == {"I4"}

    async def test_i4_a_step_that_is_not_in_the_table(self, world: World) -> None:
        await world.plant(
            "update headrace.job_events set from_state = 'queued' where job = $1 and seq = 3",
            world.done,
        )
        assert "I4" in await world.found()

    async def test_i4_a_state_that_the_history_does_not_lead_to(self, world: World) -> None:
        await world.plant("update headrace.jobs set state = 'cancelled' where id = $1", world.done)
        assert await world.found() == {"I4"}

    async def test_i4_an_event_of_another_run(self, world: World) -> None:
        await world.plant("update headrace.jobs set run = 2 where id = $1", world.cancelled)
        assert await world.found() == {"I3", "I4"}

    async def test_i19_an_event_that_is_earlier_than_the_one_before(self, world: World) -> None:
        await world.plant(
            "update headrace.job_events set at = at - interval '1 h' where job = $1 and seq = 2",
            world.cancelled,
        )
        assert await world.found() == {"I19"}


class TestFencing:
    async def test_i5_a_checkpoint_by_a_holder_who_had_lost_the_job(self, world: World) -> None:
        await world.plant(
            """
            insert into headrace.steps (
                job, run, step, item, state, position, attempts, worker, token, latency_us, output
            )
            select job, 1, 'stale', '', 'skipped', 1, 1, worker, token, 1, null
            from headrace.job_events where job = $1 and reason = 'claimed' order by seq limit 1
            """,
            world.lost,
        )
        assert await world.found() == {"I5"}

    @pytest.mark.parametrize("table", ["steps", "tries"])
    async def test_i5_a_row_of_another_worker(self, world: World, table: str) -> None:
        await world.plant("update headrace.? set worker = 99".replace("?", table))
        assert await world.found() == {"I5"}

    async def test_i5_a_record_under_a_token_that_was_never_granted(self, world: World) -> None:
        held = await world.hold()
        await world.engine.change(Change(held, records=[("last", "", "paid", "1")]))
        await world.plant("update headrace.records set token = 0")
        assert await world.found(Expectations()) == {"I5"}

    async def test_i5_a_token_that_is_lower_than_the_one_before(self, world: World) -> None:
        await world.plant(
            "update headrace.job_events set token = 0 where job = $1 and seq >= 4", world.lost
        )
        assert await world.found() == {"I5"}

    async def test_i5_an_end_by_a_holder_who_had_lost_the_job(self, world: World) -> None:
        await world.plant(
            "update headrace.job_events set token = 1 where job = $1 and seq = 3", world.failed
        )
        assert await world.found() == {"I5"}


class TestResults:
    async def test_i6_an_output_that_the_step_did_not_return(self, world: World) -> None:
        await world.plant(
            "update headrace.steps set output = '\"X\"' where job = $1 and step = 'last'",
            world.done,
        )
        assert "I6" in await world.found()

    async def test_i6_an_output_that_changed_after_it_was_used(self, world: World) -> None:
        world.effects.append(replace(world.effects[1], mark="X"))
        await world.plant("update headrace.steps set output = '\"X\"' where item = 'a'")
        found = check(await world.evidence())
        assert [v for v in found if v.invariant == "I6" and "saw ['A', 'B']" in v.text]

    async def test_i7_a_start_after_the_checkpoint(self, world: World) -> None:
        world.effects[0] = replace(world.effects[0], at=world.effects[0].at + 3600)
        assert await world.found() == {"I7"}

    async def test_i7_a_start_under_a_later_token(self, world: World) -> None:
        world.effects[0] = replace(world.effects[0], token=10_000)
        assert await world.found() == {"I7"}

    async def test_i7_but_not_the_start_of_a_stale_holder_which_is_counted(
        self, world: World
    ) -> None:
        stale = replace(world.effects[0], token=0, at=world.effects[0].at + 3600)
        world.effects.append(stale)
        assert await world.found() == set()
        assert stale_starts(await world.evidence()) == [stale]

    async def test_i7_a_record_that_is_made_again(self, world: World) -> None:
        held = await world.hold()
        await world.engine.change(Change(held, records=[("last", "", "paid", "1")]))
        made = effect_of(held, "start", "last#paid")
        world.effects.append(made)
        assert await world.found(Expectations()) == {"I7"}
        world.effects[-1] = replace(made, at=made.at - 3600)
        assert await world.found(Expectations()) == set()

    async def test_plan_an_item_that_is_not_planned(self, world: World) -> None:
        await world.plant(
            "update headrace.steps set output = '[[\"a\",1]]' where state = 'planned'"
        )
        assert "PLAN" in await world.found()

    async def test_plan_an_item_that_is_missing_from_a_completed_job(self, world: World) -> None:
        await world.plant("delete from headrace.steps where item = 'b'")
        assert "PLAN" in await world.found()

    async def test_plan_a_key_that_is_planned_twice(self, world: World) -> None:
        await world.plant(
            'update headrace.steps set output = \'[["a",1],["b",2],["b",2]]\''
            " where state = 'planned'"
        )
        assert "PLAN" in await world.found()

    async def test_plan_a_failed_item_of_a_completed_job_that_needs_all(self, world: World) -> None:
        await world.fail_item(world.done, "b")
        assert "PLAN" in await world.found()

    async def test_plan_more_failed_items_than_a_completed_job_may_have(self, world: World) -> None:
        await world.fail_item(world.done, "b")
        assert await world.found(replace(LOSSY, at_least={"each": 1})) == set()
        assert await world.found(replace(LOSSY, at_least={"each": 2})) == {"PLAN"}

    async def test_failed_an_item_whose_last_try_is_not_there(self, world: World) -> None:
        await world.fail_item(world.done, "b")
        await world.plant("delete from headrace.tries where item = 'b'")
        assert await world.found(LOSSY) == {"FAILED"}

    async def test_failed_a_step_that_is_no_item(self, world: World) -> None:
        evidence = await world.evidence(LOSSY)
        steps = [
            {**row, "state": "failed"} if row["step"] == "last" else row for row in evidence.steps
        ]
        found = check(replace(evidence, steps=steps))
        assert "FAILED" in {violation.invariant for violation in found}

    async def test_i7_a_failed_item_that_is_started_again(self, world: World) -> None:
        await world.fail_item(world.done, "b")
        start = next(one for one in world.effects if (one.kind, one.item) == ("start", "b"))
        world.effects.append(replace(start, token=start.token + 1, at=start.at + 3600))
        assert "I7" in await world.found(LOSSY)

    async def test_result_a_completed_job_without_its_output(self, world: World) -> None:
        await world.plant("update headrace.jobs set result_step = 'x' where id = $1", world.done)
        assert await world.found() == {"RESULT"}


class TestAttempts:
    async def test_i8_a_start_that_nothing_explains(self, world: World) -> None:
        world.effects.append(world.effects[0])
        assert await world.found() == {"I8"}

    async def test_i8_but_not_one_that_a_try_explains(self, world: World) -> None:
        held = await world.hold()
        world.effects += [effect_of(held, "start", "last")] * 2
        await world.engine.change(
            Change(held, tries=[("last", "", 1, None)], end=("failed", "attempts_exhausted"))
        )
        await world.engine.connection.execute("delete from headrace.claims")
        assert await world.found() == set()

    async def test_i8_nor_one_whose_try_the_dead_did_not_store(self, world: World) -> None:
        evidence = await world.evidence()
        [token] = {row["token"] for row in evidence.events if row["reason"] == "recovered"}
        dead = Held(world.lost, token, 1, 1)
        world.effects += [effect_of(dead, kind, "early") for kind in ("start", "fail", "start")]
        assert await world.found() == set()
        world.effects.append(effect_of(dead, "start", "early"))
        assert await world.found() == {"I8"}

    async def test_i8_more_tries_than_the_budget(self, world: World) -> None:
        held = await world.hold()
        await world.engine.change(
            Change(
                held,
                tries=[("last", "", number, None) for number in range(1, 7)],
                end=("failed", "attempts_exhausted"),
            )
        )
        await world.engine.connection.execute("delete from headrace.claims")
        assert await world.found() == {"I8"}

    async def test_i8_but_a_partial_checkpoint_starts_the_budget_anew(self, world: World) -> None:
        held = await world.hold()
        for numbers in (range(1, 6), range(6, 11)):
            await world.engine.change(
                Change(held, tries=[("last", "", number, 0.0) for number in numbers])
            )
            record = ("last", "", f"part {numbers.start}", "1")
            await world.engine.change(Change(held, records=[record]))
        assert await world.found(Expectations()) == set()

    async def test_i8_a_job_that_goes_on_after_its_last_charge(self, world: World) -> None:
        await world.plant(
            "update headrace.job_events set metadata = '{\"charges\":3}' where reason = 'recovered'"
        )
        assert await world.found() == {"I8"}


class TestQueueing:
    async def test_queue_a_queued_job_that_no_claim_can_find(self, world: World) -> None:
        await world.engine.submit()
        await world.plant("delete from headrace.queued")
        assert await world.found(Expectations()) == {"QUEUE"}

    async def test_queue_a_job_that_is_queued_twice(self, world: World) -> None:
        await world.engine.submit()
        await world.plant("insert into headrace.queued select * from headrace.queued")
        assert await world.found(Expectations()) == {"QUEUE"}

    async def test_queue_an_ended_job_that_is_queued(self, world: World) -> None:
        await world.plant(
            "insert into headrace.queued (job, lane, ready, share, rank, due_at)"
            " select id, lane, true, headrace.share_of(tenant), rank, due_at"
            " from headrace.jobs where id = $1",
            world.done,
        )
        assert await world.found() == {"QUEUE"}

    @pytest.mark.parametrize(
        "change",
        [
            "rank = rank + interval '1 s'",
            "lane = lane + 1",
            "share = share + 1",
            "suspect = true",
            "due_at = due_at - interval '1 s'",
            "deadline = now()",
        ],
    )
    async def test_rank_a_queue_row_that_differs_from_its_job(
        self, world: World, change: str
    ) -> None:
        await world.engine.submit()
        await world.plant("update headrace.queued set ?".replace("?", change))
        assert await world.found(Expectations()) == {"RANK"}

    async def test_rank_a_job_that_is_ready_before_it_is_due(self, world: World) -> None:
        await world.engine.submit(wait_s=60)
        await world.plant("update headrace.queued set ready = true")
        assert await world.found(Expectations()) == {"RANK"}

    async def test_claim_a_running_job_that_no_claim_names(self, world: World) -> None:
        await world.hold()
        await world.plant("delete from headrace.claims")
        assert await world.found(Expectations()) == {"CLAIM"}

    async def test_claim_a_running_job_in_the_claim_of_another_worker(self, world: World) -> None:
        await world.hold()
        await world.plant("update headrace.claims set worker = 99")
        assert await world.found(Expectations()) == {"CLAIM"}

    async def test_claim_a_running_job_whose_worker_is_dead(self, world: World) -> None:
        await world.hold()
        await world.plant("update headrace.workers set lost_at = now()")
        assert await world.found(Expectations(settled=True)) == {"CLAIM"}

    async def test_dead_a_failed_run_without_a_dead_letter(self, world: World) -> None:
        await world.plant("delete from headrace.dead_letters")
        assert await world.found() == {"DEAD"}

    async def test_dead_a_dead_letter_of_a_completed_run(self, world: World) -> None:
        await world.plant(
            "insert into headrace.dead_letters (job, run, cause, code, message)"
            " values ($1, 1, 'operator', 'X', 'x')",
            world.done,
        )
        assert await world.found() == {"DEAD"}

    async def test_dead_a_dead_letter_with_another_cause(self, world: World) -> None:
        await world.plant("update headrace.dead_letters set cause = 'operator'")
        assert await world.found() == {"DEAD"}


class TestLeftovers:
    async def test_i14_a_claim_that_nobody_dropped(self, world: World) -> None:
        await world.plant("insert into headrace.claims (token, worker, jobs) values (99, 1, '{}')")
        assert await world.found() == {"I14"}

    async def test_i14_a_worker_that_vanished_and_was_not_missed(self, world: World) -> None:
        await world.plant("update headrace.workers set expires_at = now() - interval '1 h'")
        assert await world.found() == {"I14"}

    async def test_i14_a_start_on_record_of_a_job_that_completed(self, world: World) -> None:
        await world.plant(
            "insert into headrace.progress (job, run, step, item, worker, token, recorded)"
            " values ($1, 1, 'last', '', 1, 1, true)",
            world.done,
        )
        assert await world.found() == {"I14"}
