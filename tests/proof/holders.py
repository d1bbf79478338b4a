"""The moves of those who hold jobs, or believe so: what the ledger of a worker writes."""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.proof.database import Change
from tests.proof.machinery import PICK, STEPS, Machinery
from tests.proof.model import FAN, ITEMS

PLAN: Final = '[["a",1],["b",2]]'
BUDGET: Final = 5


class HolderMoves(Machinery):
    """Checkpoints, ends, releases and recorded starts."""

    @precondition(lambda self: self.model.held)
    @rule(pick=PICK, count=st.integers(1, 3), step=STEPS)
    def checkpoint(self, pick: int, count: int, step: str) -> None:
        """Several jobs of one worker in one statement, stale ones among them."""
        group = [held for held in self.group(pick, count) if self.lacks(held, (step, ""))]
        if not group:
            return
        rows = [(held, step, "", self.fresh()) for held in group]
        stored = self.do(self.engine.checkpoint(group[0].worker, rows))
        self.agree(stored, {(held.job, step, "") for held in group if self.model.accepts(held)})
        for held, _, _, output in rows:
            if self.model.accepts(held):
                self.model.jobs[held.job].stored[step, ""] = output

    @precondition(lambda self: self.model.held)
    @rule(pick=PICK)
    def plan(self, pick: int) -> None:
        held = self.any_holder(pick)
        if self.change(Change(held, steps=[(FAN, "", "planned", PLAN)]), "running"):
            self.model.jobs[held.job].stored.setdefault((FAN, ""), PLAN)

    @precondition(lambda self: self.model.held)
    @rule(pick=PICK, item=st.sampled_from(ITEMS), with_record=st.booleans())
    def finish_item(self, pick: int, item: str, with_record: bool) -> None:  # noqa: FBT001
        held = self.any_holder(pick)
        if (FAN, "") not in self.model.jobs[held.job].stored:
            return
        change = Change(held, steps=[(FAN, item, "completed", self.fresh())])
        if with_record:
            change.records.append((FAN, item, "paid", "1"))
        if self.change(change, "running"):
            # What is there stands: the reply of its commit may have been lost.
            text = change.steps[0][3] or ""
            self.model.jobs[held.job].stored.setdefault((FAN, item), text)

    @precondition(lambda self: self.model.held)
    @rule(pick=PICK, count=st.integers(1, 3))
    def finish(self, pick: int, count: int) -> None:
        group = [
            held
            for held in self.group(pick, count)
            if self.lacks(held, ("last", "")) and self.model.jobs[held.job].may_complete
        ]
        if not group:
            return
        output = self.fresh()
        moved = self.do(self.engine.finish(group[0].worker, group, output))
        self.agree(set(moved), {held.job for held in group if self.model.accepts(held)})
        for held in group:
            if self.model.accepts(held):
                self.model.jobs[held.job].stored["last", ""] = output
                self.agree(moved[held.job], self.model.ended(held, "completed"))

    @precondition(lambda self: self.model.held)
    @rule(pick=PICK, step=STEPS, wait_s=st.sampled_from([None, 0.0, 5.0]))
    def fail(self, pick: int, step: str, wait_s: float | None) -> None:
        """A try fails: the next one is in place, later, or not to be."""
        held = self.any_holder(pick)
        job = self.model.jobs[held.job]
        number = job.tries[held.run, step, ""] + 1
        change = Change(held, tries=[(step, "", number, wait_s)])
        expected = "running"
        if number >= BUDGET:
            change.end, expected = ("failed", "attempts_exhausted"), "failed"
        elif wait_s is not None:
            change.release, expected = (wait_s, "retry"), "queued"
        if self.change(change, expected):
            job.tries[held.run, step, ""] = number

    @precondition(lambda self: self.model.held)
    @rule(pick=PICK, wait_s=st.sampled_from([0.0, 5.0]))
    def release(self, pick: int, wait_s: float) -> None:
        self.change(Change(self.any_holder(pick), release=(wait_s, "released")), "queued")

    @precondition(lambda self: self.watched())
    @rule(pick=PICK, step=STEPS)
    def put_on_record(self, pick: int, step: str) -> None:
        """A job that has lost a worker commits its starts; a suspect only one at a time."""
        held = self.one_of(self.watched(), pick)
        if self.change(Change(held, starts=[(step, "")]), "running"):
            self.model.put_on_record(held, (step, ""))

    @precondition(lambda self: self.watched())
    @rule(pick=PICK)
    def clear(self, pick: int) -> None:
        held = self.one_of(self.watched(), pick)
        job = self.model.jobs[held.job]
        mine = [key for key, start in job.starts.items() if start.token == held.token]
        change = Change(held, clears=mine, calm=bool(mine) and job.suspicion == 2)
        if self.change(change, "running"):
            for key in mine:
                del job.starts[key]
            job.suspicion = 1 if change.calm else job.suspicion

    @precondition(lambda self: self.model.held)
    @rule(pick=PICK, step=STEPS)
    def note(self, pick: int, step: str) -> None:
        held = self.any_holder(pick)
        self.do(self.engine.note(held, step, ""))
        if self.model.accepts(held):
            self.model.noted(held, (step, ""))
