"""A machine that makes any move at any time, as several workers, some of them long dead.

After each move the tables have to satisfy every invariant of the checker and agree with the model;
at the end all faults stop, and one last worker has to bring every job to its end.
"""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from tests.proof.database import TENANTS, Change, Held, quota
from tests.proof.evidence import FINAL, Expectations
from tests.proof.holders import HolderMoves
from tests.proof.machinery import PICK, STEPS
from tests.proof.model import FAN, ITEMS, Job

RARELY: Final = st.sampled_from([False, False, False, True])
LEASE_S: Final = 31.0
WORKERS: Final = 3
DRAIN_ROUNDS: Final = 20


class Machine(HolderMoves):
    """All moves."""

    @initialize()
    def start(self) -> None:
        self.do(self.engine.reset())
        self.worker()
        self.submit(count=2, priority=5, wait_s=None, deadline_s=None)

    # --- submitting -------------------------------------------------------------------------------

    @rule(
        count=st.integers(1, 2),
        priority=st.integers(0, 9),
        wait_s=st.sampled_from([None, None, 5.0, 40.0]),
        deadline_s=st.sampled_from([None, None, 10.0, 110.0]),
    )
    def submit(
        self, count: int, priority: int, wait_s: float | None, deadline_s: float | None
    ) -> None:
        tenant = TENANTS[priority in {0, 9}]  # as good as a choice of its own, and quicker
        ids = self.do(
            self.engine.submit(
                count, priority=priority, wait_s=wait_s, deadline_s=deadline_s, tenant=tenant
            )
        )
        self.model.jobs.update((job, Job()) for job in ids)

    @rule()
    def sweep(self) -> None:
        self.do(self.engine.run("claims.promote_due", 100))
        for row in self.do(self.engine.run("recovery.expire_queued", 100)):
            job = self.model.jobs[row["id"]]
            self.agree(job.state, "queued")
            job.state = "failed"

    @rule()
    def pause_or_resume(self) -> None:
        if self.model.paused:
            self.do(self.engine.run("operations.resume_queue", "default"))
        else:
            self.do(self.engine.run("operations.pause_queue", "default", "user", "why not"))
        self.model.paused = not self.model.paused

    # --- workers ----------------------------------------------------------------------------------

    @precondition(lambda self: len(self.model.alive) < WORKERS)
    @rule()
    def worker(self) -> None:
        self.model.alive.add(self.do(self.engine.start_worker()))

    @rule(worker=PICK, most=st.integers(1, 3), suspects=RARELY, reply_lost=RARELY)
    def claim(self, worker: int, most: int, suspects: bool, reply_lost: bool) -> None:  # noqa: FBT001
        by = self.any_worker(worker)
        may = by in self.model.alive and not self.model.paused
        ready = self.do(
            self.engine.connection.fetch(
                "select job, share from headrace.queued where ready and suspect = $1"
                " and (deadline is null or deadline > headrace.now()) order by rank, job",
                suspects,
            )
        )
        turns = [
            [row["job"] for row in ready if row["share"] == share][: quota(most)]
            for share in self.engine.shares
        ]
        expected = set([job for turn in turns for job in turn][:most]) if may else set()
        got = self.do(self.engine.claim(by, most, suspects=suspects))
        self.agree({held.job for held in got}, expected)
        for held in got:
            self.model.claimed(held)
            if not reply_lost:
                self.model.held.append(held)

    @precondition(lambda self: self.model.alive)
    @rule(worker=PICK, step=STEPS)
    def run_watched(self, worker: int, step: str) -> None:
        """A worker takes what has lost a worker before, and puts a start of each on record."""
        by = self.one_of(self.model.alive, worker)
        if self.model.paused:
            self.pause_or_resume()
        for held in (
            *self.do(self.engine.claim(by, 1, suspects=True)),
            *self.do(self.engine.claim(by, 1)),
        ):
            self.model.claimed(held)
            self.model.held.append(held)
            if held.suspicion and self.change(Change(held, starts=[(step, "")]), "running"):
                self.model.put_on_record(held, (step, ""))

    @rule(pick=PICK)
    def renew(self, pick: int) -> None:
        worker = self.any_worker(pick)
        self.agree(self.do(self.engine.renew(worker)), worker in self.model.alive)

    @precondition(lambda self: self.model.alive)
    @rule(pick=PICK)
    def reconcile(self, pick: int) -> None:
        """A worker gives back what the database says it holds and it knows nothing of."""
        worker = self.one_of(self.model.alive, pick)
        known = {(held.job, held.token) for held in self.model.held}
        for row in self.do(self.engine.run("claims.held_jobs", worker)):
            if (row["id"], row["token"]) in known:
                continue
            job = self.model.jobs[row["id"]]
            self.agree((job.state, job.token, job.worker), ("running", row["token"], worker))
            held = Held(row["id"], row["token"], job.run, worker)
            self.model.held.append(held)
            self.change(Change(held, release=(0.0, "released")), "queued")

    @precondition(lambda self: self.model.alive)
    @rule(pick=PICK)
    def drop_claims(self, pick: int) -> None:
        worker = self.one_of(self.model.alive, pick)
        running = {job.token for job in self.model.jobs.values() if job.state == "running"}
        claims = self.do(
            self.engine.connection.fetch(
                "select token from headrace.claims where worker = $1", worker
            )
        )
        over = [row["token"] for row in claims if row["token"] not in running]
        self.do(self.engine.run("claims.drop_claims", worker, over))

    @precondition(lambda self: len(self.model.alive) > 1)
    @rule(pick=PICK, in_order=st.booleans())
    def stop(self, pick: int, in_order: bool) -> None:  # noqa: FBT001
        worker = self.one_of(self.model.alive, pick)
        if in_order:
            for held in [held for held in self.model.held if held.worker == worker]:
                self.change(Change(held, release=(0.0, "released")), "queued")
        self.do(self.engine.run("workers.stop_worker", worker))
        self.model.alive.remove(worker)
        self.model.dead.add(worker)

    # --- time and death ---------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([3.0, 6.0, LEASE_S]))
    def time_passes(self, seconds: float) -> None:
        self.ahead += seconds
        self.do(self.engine.shift(self.ahead))

    @rule()
    def lose(self) -> None:
        for worker in self.do(self.engine.lose_workers()):
            self.agree(worker in self.model.alive, expected=True)
            self.model.alive.remove(worker)
            self.model.dead.add(worker)

    @rule(pick=PICK, twice=st.booleans(), forget=st.booleans())
    def recover(self, pick: int, twice: bool, forget: bool) -> None:  # noqa: FBT001
        orphans = self.do(self.engine.orphans())
        if not orphans:
            return
        token = self.one_of(orphans, pick)
        self.take_back(token)
        if twice:
            self.agree(self.do(self.engine.recover(token, 0)), [])
        if forget:
            self.do(self.engine.forget(token))

    @rule(pick=PICK)
    def die(self, pick: int) -> None:
        """A worker vanishes, the others go on, somebody takes back its jobs."""
        worker = self.any_worker(pick)
        self.time_passes(LEASE_S)
        for other in sorted(self.model.alive - {worker}):
            self.renew_one(other)
        self.lose()
        for token in self.do(self.engine.orphans()):
            self.take_back(token)
            self.do(self.engine.forget(token))

    @rule(pick=PICK, step=STEPS)
    def die_again(self, pick: int, step: str) -> None:
        """As `die`, and the next worker is already at it; a poison job goes on like this."""
        self.die(pick)
        if not self.model.alive:
            self.worker()
        self.time_passes(6.0)
        self.do(self.engine.run("claims.promote_due", 100))
        self.run_watched(pick, step)

    # --- operators --------------------------------------------------------------------------------

    @rule(pick=PICK)
    def cancel(self, pick: int) -> None:
        job_id = self.one_of(self.model.jobs, pick)
        job = self.model.jobs[job_id]
        expected = {"queued": "cancelled", "running": "asked"}.get(job.state)
        self.agree(self.do(self.engine.cancel(job_id)), expected)
        if job.state == "queued":
            job.state = "cancelled"
        job.cancel = job.cancel or job.state == "running"

    @rule(pick=PICK, reuse=st.booleans())
    def reopen(self, pick: int, reuse: bool) -> None:  # noqa: FBT001
        job_id = self.one_of(self.model.jobs, pick)
        job = self.model.jobs[job_id]
        # A run that has all outputs would have nothing to do.
        reuse = reuse and ("last", "") not in job.stored
        opened = self.do(self.engine.reopen(job_id, reuse=reuse))
        self.agree(opened, job.state in FINAL)
        if opened:
            self.model.reopened(job, reuse=reuse)

    # --- what must hold ---------------------------------------------------------------------------

    def teardown(self) -> None:
        """Let all faults stop, and one worker bring every job to its end."""
        if not self.sound:
            return  # it failed already
        if self.model.paused:
            self.pause_or_resume()
        self.die(0)
        for worker in sorted(self.model.alive):
            self.die_alone(worker)
        worker = self.do(self.engine.start_worker())
        self.model.alive.add(worker)
        for _ in range(DRAIN_ROUNDS):
            if not self.model.open:
                break
            self.drain_once(worker)
        self.drop_claims(0)
        # Only what the last worker finished is cleared of starts; that is the sweep's duty.
        self.do(self.engine.connection.execute("delete from headrace.progress"))
        for job in self.model.jobs.values():
            job.starts.clear()
        self.examine(Expectations(drained=True, settled=True))

    # --- helpers ---------------------------------------------------------------------------------

    def drain_once(self, worker: int) -> None:
        self.time_passes(LEASE_S)
        self.agree(self.do(self.engine.renew(worker)), expected=True)
        self.sweep()
        for suspects in (False, True):
            for held in self.do(self.engine.claim(worker, 100, suspects=suspects)):
                self.model.claimed(held)
                self.model.held.append(held)
                stored = self.model.jobs[held.job].stored
                if not self.model.jobs[held.job].may_complete:
                    missing = [key for item in ITEMS if (key := (FAN, item)) not in stored]
                    for key in missing:
                        stored[key] = "0"
                        self.do(self.engine.checkpoint(worker, [(held, *key, "0")]))
                if ("last", "") not in stored:
                    stored["last", ""] = "0"
                    moved = self.do(self.engine.finish(worker, [held], "0"))
                    self.agree(moved, {held.job: self.model.ended(held, "completed")})
                else:
                    self.change(Change(held, end=("completed", "last")), "completed")

    def die_alone(self, worker: int) -> None:
        self.do(self.engine.run("workers.stop_worker", worker))
        self.model.alive.discard(worker)
        self.model.dead.add(worker)
        for token in self.do(self.engine.orphans()):
            self.take_back(token)
            self.do(self.engine.forget(token))

    def renew_one(self, worker: int) -> None:
        self.agree(self.do(self.engine.renew(worker)), expected=True)
