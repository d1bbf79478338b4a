"""Any order of calls, ends, deaths, commands and times, against a model of one breaker."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Literal

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from headrace.store.breakers import (
    Key,
    Rules,
    Verdict,
    ask,
    end_probe,
    look,
    report_failure,
    set_breaker,
)

KEY: Final = Key("openai", "")
RULES: Final = Rules(
    failures=3,
    within=timedelta(seconds=60),
    open_for=timedelta(seconds=30),
    successes=2,
    probe_timeout=timedelta(seconds=40),
)
CLOCK: Final = """
    create or replace function headrace.now() returns timestamptz language sql stable
    return timestamptz '2026-01-01' + current_setting('test.seconds')::integer * interval '1 s'
"""
WORKERS: Final = (1, 2, 3)
WORKER: Final = """
    insert into headrace.workers (
        id, host, pid, version, queues, carries, concurrency, heartbeat_at, expires_at
    )
    values ($1, 'here', 1, '1', '{}', '{}', 1, now(), now())
"""
PICK: Final = st.integers(0, 1_000)


@dataclass(slots=True)
class Call:
    """A call that was let through, by a model process."""

    worker: int
    epoch: int
    probe: int | None
    turn: int
    """How many changes of the breaker there were before it."""


@dataclass(slots=True)
class Model:
    """What the breaker has to be."""

    state: str = "closed"
    failures: list[int] = field(default_factory=list)
    probe_at: int | None = None
    successes: int = 0
    slot: Call | None = None
    slot_until: int = 0
    probes: int = 0
    changes: list[tuple[str, str]] = field(default_factory=list)

    def turn(self, state: str) -> None:
        self.slot = None
        self.changes.append((self.state, state))
        self.state, self.failures, self.successes = state, [], 0


class BreakerMachine(RuleBasedStateMachine):
    """`connection` and `loop` are given by the test."""

    connection: Any
    loop: asyncio.AbstractEventLoop

    def __init__(self) -> None:
        super().__init__()
        self.model, self.now = Model(), 0
        self.calls: list[Call] = []
        self.dead: set[int] = set()

    @initialize()
    def begin(self) -> None:
        self.do(self.connection.execute("truncate headrace.breakers, headrace.workers; " + CLOCK))
        self.do(self.connection.execute("alter table headrace.breaker_changes disable trigger all"))
        self.do(self.connection.execute("delete from headrace.breaker_changes"))
        for worker in WORKERS:
            self.do(self.connection.execute(WORKER, worker))
        self.set_clock()
        assert self.do(look(self.connection, KEY)).state == "closed"

    # --- moves ------------------------------------------------------------------------------------

    @rule(worker=st.sampled_from(WORKERS))
    def call(self, worker: int) -> None:
        """A process whose view is current lets a call through, or asks."""
        standing = self.do(look(self.connection, KEY))
        if standing.state != "closed":
            standing = self.do(ask(self.connection, KEY, worker, RULES))
        may = self.may_probe()
        assert (standing.probe is not None) == may
        if may:
            self.try_call()
        if may or self.model.state == "closed":
            turn = len(self.model.changes)
            call = Call(worker, standing.epoch, standing.probe, turn)
            self.calls.append(call)
            if may:
                self.model.slot = call
        elif self.model.state == "open":
            wait_s = None if self.model.probe_at is None else self.model.probe_at - self.now
            assert standing.retry_s == wait_s
        assert standing.changed == (may and self.model.probes == 1)

    @rule(pick=PICK, verdict=st.sampled_from(["success", "failure", "neither"]))
    def end(self, pick: int, verdict: Verdict) -> None:
        """A call ends, in its own epoch or long after."""
        if not self.calls:
            return
        call = self.calls.pop(pick % len(self.calls))
        if call.probe is None:
            if verdict == "failure":
                self.end_closed(call)
            return
        standing = self.do(
            end_probe(
                self.connection, KEY, verdict, RULES, epoch=call.epoch, probe=call.probe,
                why="it ended", worker=call.worker,
            )
        )  # fmt: skip
        self.end_tried(call, verdict)
        assert standing.state == self.model.state

    @rule(seconds=st.sampled_from([1, 10, 25, 31, 61]))
    def wait(self, seconds: int) -> None:
        self.now += seconds
        self.set_clock()

    @rule(worker=st.sampled_from(WORKERS[:2]))
    def kill(self, worker: int) -> None:
        """A process ends with what it had under way."""
        self.dead.add(worker)
        self.do(
            self.connection.execute(
                "update headrace.workers set lost_at = now() where id = $1", worker
            )
        )

    @rule(state=st.sampled_from(["open", "closed"]), timed=st.booleans())
    def command(self, state: Literal["open", "closed"], timed: bool) -> None:  # noqa: FBT001
        open_for = timedelta(seconds=30) if timed else None
        [done] = self.do(
            set_breaker(
                self.connection, "openai", state, tenant=None, open_for=open_for, why="drill",
                actor="cli:ann",
            )
        )  # fmt: skip
        assert done.from_state == self.model.state
        self.model.turn(state)
        is_timed = state == "open" and timed
        self.model.probe_at = self.now + 30 if is_timed else None

    # --- what has to be ---------------------------------------------------------------------------

    @invariant()
    def the_row_is_the_model(self) -> None:
        row = self.do(self.connection.fetchrow("select * from headrace.breakers"))
        model = self.model
        assert row["state"] == model.state
        assert len(row["failed_at"]) <= RULES.failures - 1
        assert (row["probe"] is None) == (model.slot is None)
        assert row["successes"] == model.successes or model.state != "half_open"

    @invariant()
    def the_changes_tell_the_whole_way(self) -> None:
        rows = self.do(
            self.connection.fetch(
                "select from_state, to_state from headrace.breaker_changes order by id"
            )
        )
        assert [tuple(row) for row in rows] == self.model.changes

    # --- the model --------------------------------------------------------------------------------

    def may_probe(self) -> bool:
        model = self.model
        if model.state == "open":
            return model.probe_at is not None and model.probe_at <= self.now
        return model.state == "half_open" and (
            model.slot is None or model.slot_until <= self.now or model.slot.worker in self.dead
        )

    def try_call(self) -> None:
        model = self.model
        if model.state == "open":
            model.turn("half_open")
            model.probes = 0
        model.probes += 1
        model.probe_at, model.slot_until = None, self.now + 40

    def end_closed(self, call: Call) -> None:
        standing = self.do(
            report_failure(
                self.connection, KEY, RULES, epoch=call.epoch, why="down", worker=call.worker
            )
        )
        model = self.model
        opens = False
        if call.turn == len(model.changes):
            model.failures = [at for at in model.failures if at > self.now - 60] + [self.now]
            opens = len(model.failures) >= RULES.failures
        if opens:
            model.turn("open")
            model.probe_at = self.now + 30
        assert (standing.state, standing.changed) == (model.state, opens)

    def end_tried(self, call: Call, verdict: Verdict) -> None:
        model = self.model
        if call.turn != len(model.changes):
            return
        if model.slot is call:
            model.slot = None
        if verdict == "failure":
            model.turn("open")
            model.probe_at = self.now + 30
        elif verdict == "success":
            model.successes += 1
            if model.successes >= RULES.successes:
                model.turn("closed")

    def set_clock(self) -> None:
        self.do(
            self.connection.execute("select set_config('test.seconds', $1, false)", str(self.now))
        )

    def do(self, work: Any) -> Any:  # noqa: ANN401 - what it returns
        return self.loop.run_until_complete(work)
