"""What jobs wait for is broken in each way, and the checker has to say so."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

import pytest

from tests.proof.checker import check
from tests.proof.database import Change, Database
from tests.proof.evidence import Evidence, Expectations
from tests.proof.sending import Sent, SentLedger, read_sent
from tests.proof.violation import Row
from tests.proof.world import World, effect_of, make_world

YES, NO = '{"ok":true}', '{"ok":false}'
MIDWAY = Expectations()
HOUR = 3600.0
SLOT = """
    insert into headrace.schedule_slots (pipeline, schedule, slot, job)
    values ('proof', 'hourly', headrace.now() + $1 * interval '1 hour', $2)
"""


@dataclass
class Waiting:
    """A world in which jobs waited, and one waits still.

    Attributes:
        answered: Waited for `answer`, was sent it, and has completed.
        late: Waited for `answer`, which did not come in time.
        parent: Has completed with what its child returned.
        asking: Waits for `answer`, for an hour at most.
    """

    world: World
    answered: UUID
    late: UUID
    parent: UUID
    child: UUID
    asking: UUID
    sent: list[Sent]

    async def evidence(self, expect: Expectations = MIDWAY) -> Evidence:
        """Everything as it is now."""
        return replace(await self.world.evidence(expect), sent=self.sent)

    async def found(self, expect: Expectations = MIDWAY) -> set[str]:
        """The invariants that the checker finds broken."""
        return {violation.invariant for violation in check(await self.evidence(expect))}

    async def plant(self, sql: str, *arguments: object) -> None:
        """Change rows behind the back of the triggers."""
        await self.world.plant(sql, *arguments)

    def tell(self, job: UUID, told: str, value: str) -> None:
        """A sender says what it was told."""
        one = {"told": told, "job": str(job), "name": "answer", "value": json.loads(value)}
        self.sent.append(Sent(**one))


async def ask(world: World, wait_s: float) -> UUID:
    """A job that waits for `answer`."""
    held = await world.hold()
    wait = ("last", "", "signal", "answer", wait_s)
    await world.engine.change(Change(held, waits=[wait], release=(wait_s, "external")))
    return held.job


async def send(engine: Database, job: UUID, value: str) -> str:
    rows = await engine.run("signalling.send_signal", job, "answer", value, "somebody", None)
    return str(rows[0][0])


async def finish(world: World, job: UUID, output: str) -> None:
    """Let the only job that is due end."""
    [held] = await world.engine.claim(world.worker)
    assert held.job == job
    await world.engine.run("claims.expire_signals", [held.job], [held.token])
    await world.engine.finish(world.worker, [held], output)
    world.effects.append(effect_of(held, "end", "last", mark=json.loads(output)))


async def make_family(world: World) -> tuple[UUID, UUID]:
    """A parent that waited for its child."""
    parent = await world.hold()
    [child] = await world.engine.submit()
    await world.plant("update headrace.jobs set parent_job = $2 where id = $1", child, parent.job)
    await world.engine.run("children.bind_child", child, parent.job, 1, parent.token)
    wait = ("last", "", "child", str(child), None)
    await world.engine.change(Change(parent, waits=[wait], release=(HOUR, "child")))
    await finish(world, child, '"grown"')
    await finish(world, parent.job, '"grown"')
    return parent.job, child


@pytest.fixture
async def waiting(engine: Database) -> Waiting:
    world = await make_world(engine)
    answered = await ask(world, HOUR)
    assert await send(engine, answered, YES) == "stored"
    assert await send(engine, answered, NO) == "other"
    await finish(world, answered, '"yes"')
    late = await ask(world, -1.0)
    await finish(world, late, '"late"')
    parent, child = await make_family(world)
    asking = await ask(world, HOUR)
    await engine.connection.execute("delete from headrace.claims")
    made = Waiting(world, answered, late, parent, child, asking, [])
    made.tell(answered, "stands", YES)
    made.tell(answered, "other", NO)
    made.tell(late, "other", YES)
    made.tell(asking, "unknown", YES)
    return made


async def test_nothing_is_found_where_nothing_is_wrong(waiting: Waiting) -> None:
    assert check(await waiting.evidence()) == []


class TestSignals:
    async def test_two_values_of_one_name(self, waiting: Waiting) -> None:
        evidence = await waiting.evidence()
        [*others, last] = evidence.signals
        assert _found(replace(evidence, signals=[*others, last, last])) == {"SIGNAL"}

    async def test_one_that_is_too_late_before_its_time_is_over(self, waiting: Waiting) -> None:
        await waiting.plant(
            "update headrace.waits set due_at = due_at + interval '1 hour' where job = $1",
            waiting.late,
        )
        assert await waiting.found() == {"SIGNAL"}

    async def test_one_whose_sender_was_told_that_it_stands(self, waiting: Waiting) -> None:
        waiting.tell(waiting.asking, "stands", YES)
        assert await waiting.found() == {"SENT"}

    async def test_one_that_was_changed_after_its_sender_was_told(self, waiting: Waiting) -> None:
        await waiting.plant(
            "update headrace.signals set value = $2 where job = $1", waiting.answered, '{"ok":0}'
        )
        assert await waiting.found() == {"SENT"}

    async def test_one_that_was_refused_where_nothing_stands(self, waiting: Waiting) -> None:
        waiting.tell(waiting.asking, "other", NO)
        assert await waiting.found() == {"SENT"}

    async def test_one_that_was_never_there_and_was_waited_for(self, waiting: Waiting) -> None:
        await waiting.plant("delete from headrace.signals where job = $1", waiting.late)
        waiting.sent = []
        assert await waiting.found() == {"USED"}

    async def test_one_that_came_after_the_step_had_its_outcome(self, waiting: Waiting) -> None:
        await waiting.plant(
            "update headrace.signals set received_at = received_at + interval '1 hour'"
            " where job = $1",
            waiting.answered,
        )
        assert await waiting.found() == {"USED"}

    async def test_one_of_which_the_step_got_another_value(self, waiting: Waiting) -> None:
        last = next(one for one in waiting.world.effects if one.job == str(waiting.answered))
        waiting.world.effects.append(replace(last, got={"answer": {"ok": True}}))
        assert await waiting.found() == set()
        waiting.world.effects.append(replace(last, got={"answer": {"ok": False}}))
        assert await waiting.found() == {"USED"}


class TestWaits:
    async def test_one_who_began_to_wait_and_did_not_hold_the_job(self, waiting: Waiting) -> None:
        await waiting.plant("update headrace.waits set token = 0 where job = $1", waiting.late)
        assert await waiting.found() == {"WAIT"}

    async def test_one_who_waits_although_the_signal_is_there(self, waiting: Waiting) -> None:
        await waiting.plant(
            "insert into headrace.signals (job, run, name, value) values ($1, 1, 'answer', $2)",
            *(waiting.asking, YES),
        )
        assert await waiting.found() == {"WAIT"}

    async def test_but_not_one_who_was_woken(self, waiting: Waiting) -> None:
        assert await send(waiting.world.engine, waiting.asking, YES) == "stored"
        assert await waiting.found() == set()

    async def test_one_who_waits_and_is_held(self, waiting: Waiting) -> None:
        evidence = await waiting.evidence()
        jobs: list[Row] = [
            {**job, "worker": 1} if job["id"] == waiting.asking else job for job in evidence.jobs
        ]
        assert _found(replace(evidence, jobs=jobs)) == {"WAIT"}


class TestChildren:
    async def test_a_step_that_has_not_what_its_child_returned(self, waiting: Waiting) -> None:
        await waiting.plant(
            "update headrace.steps set output = '\"other\"' where job = $1", waiting.child
        )
        assert "CHILD" in await waiting.found()

    async def test_a_child_that_has_ended_and_is_still_bound(self, waiting: Waiting) -> None:
        await self._bind(waiting, waiting.child, waiting.asking)
        assert await waiting.found() == {"CHILD"}

    async def test_a_child_that_outlives_its_parent(self, waiting: Waiting) -> None:
        await self._bind(waiting, waiting.asking, waiting.late)
        assert await waiting.found() == set()
        assert await waiting.found(Expectations(drained=True)) == {"CHILD", "I2"}

    async def _bind(self, waiting: Waiting, child: UUID, parent: UUID) -> None:
        await waiting.plant("insert into headrace.children values ($1, $2, 1)", child, parent)


class TestSlots:
    async def test_a_slot_with_two_jobs(self, waiting: Waiting) -> None:
        await self._fill(waiting, waiting.late, 1)
        assert await waiting.found() == set()
        await self._fill(waiting, waiting.child, 1, row=2)
        assert await waiting.found() == {"SLOT"}

    async def test_a_slot_whose_job_is_not_stored(self, waiting: Waiting) -> None:
        await waiting.plant(SLOT, 1, UUID(int=1))
        assert await waiting.found() == {"SLOT"}

    async def test_a_job_of_a_slot_that_nobody_wrote_down(self, waiting: Waiting) -> None:
        await self._name(waiting, waiting.late, 1)
        assert await waiting.found() == {"SLOT"}

    async def _fill(
        self, waiting: Waiting, job: UUID, slot: int, *, row: int | None = None
    ) -> None:
        await waiting.plant(SLOT, row or slot, job)
        await self._name(waiting, job, slot)

    async def _name(self, waiting: Waiting, job: UUID, slot: int) -> None:
        told = json.dumps({"schedule": "proof.hourly", "slot": f"slot {slot}"})
        await waiting.plant("update headrace.jobs set metadata = $2 where id = $1", job, told)


def _found(evidence: Evidence) -> set[str]:
    return {violation.invariant for violation in check(evidence)}


def test_what_senders_wrote_down_is_read_again(tmp_path: Path) -> None:
    sent = Sent(told="stands", job="j", name="answer", value={"ok": True})
    assert list(read_sent(tmp_path / "sent")) == []
    SentLedger(tmp_path / "sent").write(sent)
    assert list(read_sent(tmp_path / "sent")) == [sent]
