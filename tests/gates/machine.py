"""A machine that makes any move at any time, as several workers, and looks at what came of each.

What it expects is said by itself, from the jobs alone: who runs, of whom, and in which order they
were accepted. At the end all faults stop, and one last worker has to bring every job to its end.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Sequence
from typing import Any, Final, TypeVar
from uuid import UUID

import asyncpg
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from tests.gates.database import GatedDatabase
from tests.proof.database import Change, Held

T = TypeVar("T")

PICK: Final = st.integers(0, 1_000)
RARELY: Final = st.sampled_from([False, False, False, True])
LIMIT: Final = st.sampled_from([None, 1, 2, 3])
TENANTS: Final = st.sampled_from(["default", "other"])
WANTED: Final = st.fixed_dictionaries(
    {
        "tenant": TENANTS,
        "order": st.sampled_from([None, "a", "a", "b"]),
        "key": st.sampled_from([None, "x", "y"]),
        "priority": st.integers(0, 9),
        "wait_s": st.sampled_from([None, None, None, 20.0]),
    }
)
DRAIN_ROUNDS: Final = 60
JOBS: Final = """
    select job.id, job.state, job.tenant, job.ordering_key, job.concurrency_key, job.position,
        lane.queue, lane.pipeline, job.worker, entry.ready,
        entry.due_at = 'infinity' as is_put_aside, entry.job is not null as is_listed,
        kept.gate as kept_by
    from headrace.jobs as job
    join headrace.lanes as lane on lane.id = job.lane
    left join headrace.queued as entry on entry.job = job.id
    left join headrace.blocked as kept on kept.job = job.id
"""


class Broken(AssertionError):  # noqa: N818 - it is an assertion that failed
    """Somebody runs who must not, or nobody lets somebody in."""


class Machine(RuleBasedStateMachine):
    """All moves; `gates` and `loop` are given by the test."""

    gates: GatedDatabase
    loop: asyncio.AbstractEventLoop

    def __init__(self) -> None:
        super().__init__()
        self.limits: dict[tuple[str, str], int | None] = {}
        self.of_key = 1
        self.ran: Counter[tuple[str, ...]] = Counter()
        self.alive: list[int] = []
        self.dead: list[int] = []
        self.held: list[Held] = []
        self.left: list[UUID] = []
        self.ahead = 0.0
        self.lanes: list[int] = []

    def do(self, move: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(move)

    def rows(self) -> list[asyncpg.Record]:
        return self.do(self.gates.connection.fetch(JOBS))

    @initialize()
    def start(self) -> None:
        self.do(self.gates.reset())
        self.lanes = [
            self.gates.lane,
            self.gates.keyed,
            self.do(self.gates.lane_of("second")),
            self.do(self.gates.lane_of("second", keyed=True)),
        ]
        self.do(self.gates.limit_pipeline(None))
        self.alive = [self.do(self.gates.start_worker()) for _ in range(2)]

    # --- submitting -------------------------------------------------------------------------------

    @rule(count=st.integers(1, 3), second=RARELY, wanted=WANTED)
    def submit(self, count: int, second: bool, wanted: dict[str, Any]) -> None:  # noqa: FBT001
        is_keyed = wanted["order"] is not None or wanted["key"] is not None
        self.do(self.gates.add(count, lane=self.lanes[2 * second + is_keyed], **wanted))

    # --- limits -----------------------------------------------------------------------------------

    @rule(most=LIMIT, queue=st.sampled_from(["default", "second"]))
    def limit_queue(self, most: int | None, queue: str) -> None:
        self.limits["queue", queue] = most
        self.do(self.gates.limit_queue(most, queue))

    @rule(most=LIMIT, tenant=TENANTS)
    def limit_tenant(self, most: int | None, tenant: str) -> None:
        self.limits["tenant", tenant] = most
        self.do(self.gates.limit_tenant(tenant, most))

    @rule(most=LIMIT, of_key=st.integers(1, 2))
    def limit_pipeline(self, most: int | None, of_key: int) -> None:
        self.limits["pipeline", "proof"], self.of_key = most, of_key
        self.do(self.gates.limit_pipeline(most, of_key))

    # --- workers ----------------------------------------------------------------------------------

    @rule(pick=PICK, most=st.integers(1, 4), tells=st.booleans(), suspects=RARELY)
    def claim(self, pick: int, most: int, tells: bool, suspects: bool) -> None:  # noqa: FBT001
        """The gated claim; now and then nobody tells it who has left."""
        worker = self.alive[pick % len(self.alive)]
        left, self.left = (self.left, []) if tells else ([], self.left)
        self.held += self.do(
            self.gates.pass_gates(worker, most, lanes=self.lanes, suspects=suspects, ended=left)
        )

    @rule(pick=PICK, most=st.integers(1, 4))
    def claim_plainly(self, pick: int, most: int) -> None:
        worker = self.alive[pick % len(self.alive)]
        self.held += self.do(self.gates.claim(worker, most))

    @precondition(lambda self: self.held)
    @rule(pick=PICK, how=st.sampled_from(["finish", "finish", "fail", "retry", "release"]))
    def leave(self, pick: int, how: str) -> None:
        held = self.held.pop(pick % len(self.held))
        if how == "finish":
            self.do(self.gates.finish(held.worker, [held], "1"))
        elif how == "fail":
            self.do(self.gates.change(Change(held, end=("failed", "permanent_error"))))
        else:
            wait_s = 15.0 if how == "retry" else 0.0
            self.do(self.gates.change(Change(held, release=(wait_s, how))))
        self.left.append(held.job)

    @precondition(lambda self: len(self.alive) > 1)
    @rule()
    def die(self) -> None:
        """A worker dies; what it holds stays as it is until somebody recovers it."""
        self.dead.append(self.alive.pop())
        self.alive.insert(0, self.do(self.gates.start_worker()))

    @rule(settles=st.booleans())
    def reap(self, settles: bool) -> None:  # noqa: FBT001
        """The dead are found: by their leases."""
        self.pass_time(31.0)
        self.do(self.gates.lose_workers())
        for token in self.do(self.gates.orphans()):
            rows = self.do(self.gates.recover(token, self.alive[0]))
            self.do(self.gates.forget(token))
            if settles and rows:
                self.do(self.gates.settle(*(row["id"] for row in rows)))
        self.held = [held for held in self.held if held.worker in self.alive]

    @rule(seconds=st.sampled_from([5.0, 16.0]))
    def pass_time(self, seconds: float) -> None:
        self.ahead += seconds
        self.do(self.gates.shift(self.ahead))
        for worker in self.alive:
            self.do(self.gates.renew(worker))
        self.do(self.gates.run("claims.promote_due", 100))

    # --- people -----------------------------------------------------------------------------------

    @rule(pick=PICK, settles=st.booleans())
    def cancel(self, pick: int, settles: bool) -> None:  # noqa: FBT001
        jobs = [row["id"] for row in self.rows() if row["state"] == "queued"]
        if jobs:
            job = jobs[pick % len(jobs)]
            self.do(self.gates.cancel(job))
            if settles:
                self.do(self.gates.settle(job))

    @rule(pick=PICK)
    def reopen(self, pick: int) -> None:
        ended = [row["id"] for row in self.rows() if row["state"] not in {"queued", "running"}]
        if ended:
            self.do(self.gates.reopen(ended[pick % len(ended)]))

    @rule()
    def sweep(self) -> None:
        """Afterwards nobody is kept out by a gate that has room."""
        self.do(self.gates.settle())
        rows = self.rows()
        used = self.used(rows)
        for row in rows:
            if row["kept_by"] is not None:
                self.check_kept(row, rows, used)

    def check_kept(
        self, row: asyncpg.Record, rows: Sequence[asyncpg.Record], used: Counter[tuple[str, ...]]
    ) -> None:
        kind, name = row["kept_by"].split("\x1f")[:2]
        live = [one for one in rows if one["state"] in {"queued", "running"}]
        if kind == "order":
            if not any(self.is_before(one, row) for one in live):
                raise Broken(f"{row['id']} waits for nobody")
            return
        scope = ("tenant", name) if kind == "tenant" else self.key_of(row)
        limit = self.limits.get(("tenant", name)) if kind == "tenant" else self.of_key
        let_in = sum(
            1
            for one in live
            if one["ready"] and scope in {("tenant", one["tenant"]), self.key_of(one)}
        )
        if limit is None or used[scope] + let_in < limit:
            raise Broken(f"{row['id']} waits at {scope}, where {used[scope]} of {limit} run")

    # --- what has to hold -------------------------------------------------------------------------

    @staticmethod
    def key_of(row: asyncpg.Record) -> tuple[str, ...]:
        return ("key", row["pipeline"], row["tenant"], row["concurrency_key"] or "")

    @staticmethod
    def is_before(one: asyncpg.Record, other: asyncpg.Record) -> bool:
        return bool(
            one["ordering_key"] is not None
            and (one["tenant"], one["ordering_key"]) == (other["tenant"], other["ordering_key"])
            and one["position"] < other["position"]
        )

    def used(self, rows: Sequence[asyncpg.Record]) -> Counter[tuple[str, ...]]:
        used: Counter[tuple[str, ...]] = Counter()
        for row in rows:
            if row["state"] == "running":
                used["queue", row["queue"]] += 1
                used["pipeline", row["pipeline"]] += 1
                used["tenant", row["tenant"]] += 1
                if row["concurrency_key"] is not None:
                    used[self.key_of(row)] += 1
        return used

    @invariant()
    def limits_hold(self) -> None:
        """A limit below what runs already is not kept, but nobody more comes."""
        used = self.used(self.rows())
        for scope, count in used.items():
            limit = self.of_key if scope[0] == "key" else self.limits.get((scope[0], scope[1]))
            if limit is not None and count > max(limit, self.ran[scope]):
                raise Broken(f"{count} run at {scope}, {limit} may")
        self.ran = used

    @invariant()
    def order_holds(self) -> None:
        live = [row for row in self.rows() if row["state"] in {"queued", "running"}]
        for row in live:
            if row["state"] != "running":
                continue
            early = [one["id"] for one in live if self.is_before(one, row)]
            if early:
                raise Broken(f"{row['id']} runs before {early}")

    @invariant()
    def books_agree(self) -> None:
        for row in self.rows():
            if (row["state"] == "queued") != row["is_listed"]:
                raise Broken(f"{row['id']} is {row['state']}")
            if row["state"] == "queued" and row["is_put_aside"] != (row["kept_by"] is not None):
                raise Broken(f"{row['id']} is put aside, and nobody knows why, or the reverse")
            if row["is_put_aside"] and row["ready"]:
                raise Broken(f"{row['id']} is put aside and ready")

    def teardown(self) -> None:
        """Without faults every job ends, whatever nobody was told of before."""
        if not self.alive:
            return
        self.dead += self.alive
        self.alive = [self.do(self.gates.start_worker())]
        for _ in range(DRAIN_ROUNDS):
            self.reap(settles=False)
            self.sweep()
            for suspects in (True, False):
                self.claim(0, 4, tells=False, suspects=suspects)
                self.claim_plainly(0, 4)
                self.check_all()
                self.do(self.gates.finish(self.alive[0], self.held, "1"))
                self.held = []
            if all(row["state"] not in {"queued", "running"} for row in self.rows()):
                return
        stuck = [dict(row) for row in self.rows() if row["state"] in {"queued", "running"}]
        raise Broken(f"left over: {stuck}")

    def check_all(self) -> None:
        self.limits_hold()
        self.order_holds()
        self.books_agree()
