"""Any order of beginnings, outcomes, deaths and times, against a model of one operation."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from headrace.store.idempotency import (
    LEFT_KEPT,
    SILENCE,
    Seen,
    Wanted,
    begin_operation,
    complete_operation,
    fail_operation,
    forget_operation,
    prune_operations,
    release_operation,
    renew_operation,
    take_over_operation,
)

WORKERS: Final = (1, 2, 3)
CLOCK: Final = """
    create or replace function headrace.now() returns timestamptz language sql stable
    return timestamptz '2026-01-01' + current_setting('test.seconds')::integer * interval '1 s'
"""
WORKER: Final = """
    insert into headrace.workers (
        id, host, pid, version, queues, carries, concurrency, heartbeat_at, expires_at
    )
    values ($1, 'here', 1, '1', '{}', '{}', 1, now(), now())
"""
KEEPS_S: Final = (3_600, 172_800)
PICK: Final = st.sampled_from([-1, -1, -1, -2, -3])
"""Which holder, counted from the last."""


THEN: Final = st.sampled_from(["nothing", "prune", "begin"])


@dataclass
class Row:
    """What the row of the key has to be."""

    holder: uuid.UUID
    token: int
    worker: int | None
    renewed_at: int
    state: str = "pending"
    takeovers: int = 0
    expires_at: int = 0


@dataclass
class Turn:
    """A holder that was, or is."""

    holder: uuid.UUID
    token: int


class OperationMachine(RuleBasedStateMachine):
    """`connection` and `loop` are given by the test."""

    connection: Any
    loop: asyncio.AbstractEventLoop

    def __init__(self) -> None:
        super().__init__()
        self.row: Row | None = None
        self.now = self.newest = 0
        self.turns: list[Turn] = []
        self.dead: set[int] = set()

    @initialize()
    def prepare(self) -> None:
        tables = "truncate headrace.operations, headrace.workers; "
        self.do(self.connection.execute(tables + CLOCK))
        for worker in WORKERS:
            self.do(self.connection.execute(WORKER, worker))
        self.set_clock()
        self.newest = self.do(
            self.connection.fetchval("select nextval('headrace.operation_tokens')")
        )

    # --- moves ------------------------------------------------------------------------------------

    @rule(worker=st.sampled_from([*WORKERS, None]), takes=st.booleans())
    def ask(self, worker: int | None, takes: bool) -> None:  # noqa: FBT001 - a move
        self.begin(worker, takes=takes)

    def begin(self, worker: int | None, *, takes: bool) -> None:
        """Somebody asks, and takes it over where its holder is gone, or leaves it."""
        wanted = Wanted(tenant="a", key="k", operation="f", input_hash=b"", worker=worker)
        holder = uuid.uuid4()
        seen = self.do(begin_operation(self.connection, wanted, holder))
        row = self.row
        assert seen.won == (row is None or self.is_over(row))
        if row is None or seen.won:
            self.hold(Row(holder, seen.token, worker, self.now))
            return
        assert (seen.state, seen.token, seen.takeovers) == (row.state, row.token, row.takeovers)
        assert seen.is_gone == self.is_gone(row)
        if seen.is_gone and takes:
            self.take_over(row, wanted, holder, seen)

    def take_over(self, row: Row, wanted: Wanted, holder: uuid.UUID, seen: Seen) -> None:
        token = self.do(take_over_operation(self.connection, wanted, holder, seen))
        assert token is not None
        second = uuid.uuid4()
        assert self.do(take_over_operation(self.connection, wanted, second, seen)) is None
        self.hold(Row(holder, token, wanted.worker, self.now, takeovers=row.takeovers + 1))

    @rule(
        pick=PICK,
        fails=st.booleans(),
        keep_s=st.sampled_from(KEEPS_S),
        later=st.tuples(st.sampled_from([0, 3_599, 86_400, 172_800]), THEN),
    )
    def end(self, pick: int, fails: bool, keep_s: int, later: tuple[int, str]) -> None:  # noqa: FBT001 - a move
        """A holder, the present one or an earlier, comes with an outcome."""
        turn = self.turn(pick)
        if turn is None:
            return
        keep = timedelta(seconds=keep_s)
        work = (
            fail_operation(self.connection, "a", "k", turn.token, keep=keep, error="{}")
            if fails
            else complete_operation(self.connection, "a", "k", turn.token, keep=keep, output="1")
        )
        is_stored = self.do(work)
        assert is_stored == self.is_held_by(turn)
        if is_stored and self.row is not None:
            self.row.state = "failed" if fails else "completed"
            self.row.expires_at = self.now + keep_s
            self.wait(min(keep_s, later[0]), later[1])

    @rule(pick=PICK)
    def release(self, pick: int) -> None:
        """A holder leaves the key free."""
        turn = self.turn(pick)
        if turn is not None:
            self.do(release_operation(self.connection, "a", "k", turn.holder))
            if self.is_held_by(turn):
                self.row = None

    @rule(pick=PICK)
    def renew(self, pick: int) -> None:
        """A holder says that it is still there."""
        turn = self.turn(pick)
        if turn is not None:
            done = self.do(renew_operation(self.connection, "a", "k", turn.token))
            assert done == self.is_held_by(turn)
            if done and self.row is not None:
                self.row.renewed_at = self.now

    @rule(worker=st.sampled_from(WORKERS[:2]))
    def kill(self, worker: int) -> None:
        """A worker is found dead."""
        self.dead.add(worker)
        lost = "update headrace.workers set lost_at = headrace.now() where id = $1"
        self.do(self.connection.execute(lost, worker))

    @rule(
        seconds=st.sampled_from([300, 3_600, 86_400]),
        then=THEN,
    )
    def wait(self, seconds: int, then: str) -> None:
        """Time goes by, and somebody looks in that very instant."""
        self.now += seconds
        self.set_clock()
        if then == "prune":
            self.prune()
        elif then == "begin":
            self.begin(3, takes=True)

    def prune(self) -> None:
        """What is out of date goes, and nothing else."""
        goes = self.row is not None and (
            self.is_over(self.row)
            or (
                self.row.state == "pending"
                and self.now - self.row.renewed_at >= LEFT_KEPT.total_seconds()
            )
        )
        assert self.do(prune_operations(self.connection)) == goes
        if goes:
            self.row = None

    @rule(really=st.sampled_from([True, False, False, False]))
    def forget(self, really: bool) -> None:  # noqa: FBT001 - a move
        """An operator frees the key, if it is not pending."""
        if really and self.row is not None and self.row.state != "pending":
            self.do(forget_operation(self.connection, "a", "k"))
            self.row = None

    # --- the model --------------------------------------------------------------------------------

    def hold(self, row: Row) -> None:
        """Tokens grow for ever, also after the row was deleted."""
        assert row.token > self.newest
        self.newest, self.row = row.token, row
        self.turns.append(Turn(row.holder, row.token))

    def turn(self, pick: int) -> Turn | None:
        return self.turns[pick] if len(self.turns) >= -pick else None

    def is_held_by(self, turn: Turn) -> bool:
        row = self.row
        return row is not None and row.state == "pending" and row.token == turn.token

    def is_over(self, row: Row) -> bool:
        return row.state != "pending" and row.expires_at <= self.now

    def is_gone(self, row: Row) -> bool:
        silent = self.now - row.renewed_at >= SILENCE.total_seconds()
        return row.state == "pending" and (silent or row.worker in self.dead)

    def set_clock(self) -> None:
        self.do(self.connection.execute(f"set test.seconds = {self.now}"))

    def do(self, work: Any) -> Any:  # noqa: ANN401 - what it gives
        return self.loop.run_until_complete(work)
