"""Any order of sending, waiting, claims, times and new runs, against a model of one job."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from headrace.store.following import Follower, Place, read_next
from headrace.store.signalling import read_signals, send_signal
from headrace.store.sql import SQL
from tests.engine_rows import HEAD_START, Rows

NAMES: Final = st.sampled_from(["one", "two", "three", "four"])
VALUES: Final = st.sampled_from(["1", "2"])
SECONDS: Final = st.sampled_from([1, 60, 3_600])
EXPIRED: Final = None
ALL: Final = 10_000
COLUMNS: Final = ("kind", "seq", "run", "reason", "state", "reused_from")


class SignalMachine(RuleBasedStateMachine):
    """`connection` and `loop` are given by the test."""

    connection: Any
    loop: asyncio.AbstractEventLoop

    def __init__(self) -> None:
        super().__init__()
        self.rows = Rows(self.connection)
        self.run, self.token, self.state = 1, 0, "queued"
        self.signals: dict[str, str | None] = {}
        self.waits: dict[str, int] = {}
        """When each wait that has begun is over, by the machine's own clock."""
        self.awaited: list[str] = []
        """What the job was put back for."""
        self.due = self.now = 0
        self.seq = 1
        self.sent_in: dict[str, int] = {}
        """The run to which each of the signals was sent."""
        self.history: set[tuple[object, ...]] = set()
        """What events are to tell of signals."""
        self.told: list[tuple[object, ...]] = []
        """What a reader was told that comes back again and again, first the place."""

    def do(self, what: Any) -> Any:  # noqa: ANN401 - whatever the statement gives
        return self.loop.run_until_complete(what)

    @initialize()
    def submit(self) -> None:
        async def begin() -> tuple[UUID, int]:
            await self.connection.execute(
                "create or replace function headrace.now() returns timestamptz language sql stable"
                " parallel safe return timestamptz '2030-01-01'"
            )
            await self.connection.execute("delete from headrace.queued")
            self.rows.lane = await self.rows.value("submit.add_lane", "default", "pipe", "1.0.0")
            (job,) = await self.rows.submit()
            return job, await self.rows.worker(lease=timedelta(days=9_999))

        self.job, self.worker = self.do(begin())

    @rule(seconds=SECONDS)
    def time_passes(self, seconds: int) -> None:
        self.now += seconds
        self.do(
            self.connection.execute(
                "create or replace function headrace.now() returns timestamptz language sql stable"
                f" parallel safe return timestamptz '2030-01-01' + interval '{self.now} s'"
            )
        )

    @rule(name=NAMES, value=VALUES)
    def somebody_sends(self, name: str, value: str) -> None:
        fate = self.do(send_signal(self.connection, self.job, name, value, sender="x"))
        assert fate == self.expected(name, value)
        if fate == "stored":
            self.keep(name, value)

    def keep(self, name: str, value: str | None) -> None:
        self.signals[name] = value
        self.sent_in[name] = self.run
        state = "expired" if value is EXPIRED else "received"
        self.history.add((self.seq, self.run, name, state, None))

    def expected(self, name: str, value: str) -> str:
        if name in self.signals:
            stands = self.signals[name]
            return "late" if stands is EXPIRED else "same" if stands == value else "other"
        return "stored" if self.state in {"queued", "running"} else "ended"

    @precondition(lambda self: self.state == "running")
    @rule(name=NAMES, value=VALUES, of_old=st.booleans())
    def its_step_sends(self, name: str, value: str, *, of_old: bool) -> None:
        token = self.token - of_old
        sent = send_signal(self.connection, self.job, name, value, sender="step", token=token)
        fate = self.do(sent)
        assert fate == ("stale" if of_old else self.expected(name, value))
        if fate == "stored":
            self.keep(name, value)

    @precondition(lambda self: self.state == "running")
    @rule()
    def its_step_ends(self) -> None:
        claim: Any = {"id": self.job, "token": self.token}
        self.do(self.rows.checkpoint(claim, [f"step {self.do(self.rows.count('steps'))}"]))

    @precondition(lambda self: self.state == "queued")
    @rule()
    def it_is_claimed(self) -> None:
        claims = self.do(self.rows.claim(self.worker))
        came = any(name in self.signals for name in self.awaited)
        assert bool(claims) == (came or self.due <= self.now), "neither early nor missed"
        if claims:
            self.state, self.token = "running", claims[0]["token"]
            self.seq += 1

    @precondition(lambda self: self.state == "running")
    @rule()
    def its_worker_looks(self) -> None:
        self.do(self.connection.execute(SQL["claims.expire_signals"], [self.job], [self.token]))
        for name, due in self.waits.items():
            if due <= self.now and name not in self.signals:
                self.keep(name, EXPIRED)

    @precondition(lambda self: self.state == "running")
    @rule(names=st.lists(NAMES, unique=True, min_size=1), seconds=SECONDS)
    def it_is_put_back_to_wait(self, names: list[str], seconds: int) -> None:
        open_names = [name for name in names if name not in self.signals] or names
        self.do(self.put_back(open_names, seconds))
        for name in open_names:
            self.waits.setdefault(name, self.now + seconds)
        wait_s = max(0, min(self.waits[name] for name in open_names) - self.now)
        self.state, self.awaited, self.due = "queued", open_names, self.now + wait_s
        self.seq += 1

    async def put_back(self, names: list[str], seconds: int) -> None:
        count = len(names)
        begun = [self.waits.get(name, self.now + seconds) for name in names]
        await self.connection.execute(
            SQL["ledger.insert_waits"],
            [self.job] * count, [self.run] * count, ["step"] * count, [""] * count,
            ["signal"] * count, names, [float(seconds)] * count, [self.token] * count,
        )  # fmt: skip
        await self.connection.execute(
            SQL["ledger.release_jobs"],
            [self.job], [float(max(0, min(begun) - self.now))], ["external"], [None],
            self.worker, HEAD_START, [",".join(names)], [None],
        )  # fmt: skip

    @precondition(lambda self: self.state == "running")
    @rule()
    def it_ends(self) -> None:
        self.do(self.rows.end({"id": self.job}))  # type: ignore[arg-type]  # only the id counts
        self.state = "completed"
        self.seq += 1

    @precondition(lambda self: self.state == "completed")
    @rule(asks=st.lists(NAMES, unique=True))
    def it_runs_again(self, asks: list[str]) -> None:
        async def reopen() -> None:
            async with self.connection.transaction():
                await self.connection.execute(SQL["operations.reuse_steps"], self.job, self.run, [])
                await self.connection.execute(
                    SQL["operations.reuse_signals"], self.job, self.run, asks
                )
                await self.connection.fetch(
                    SQL["operations.reopen_job"], self.job, "x", "replayed", None, HEAD_START
                )

        self.do(reopen())
        self.run, self.state, self.waits, self.awaited = self.run + 1, "queued", {}, []
        self.due = self.now
        self.seq += 1
        self.signals = {
            name: value
            for name, value in self.signals.items()
            if value is not EXPIRED and name not in asks
        }
        self.history |= {
            (self.seq, self.run, name, "received", self.sent_in[name]) for name in self.signals
        }

    @rule(most=st.integers(1, 4))
    def a_reader_comes_back(self, most: int) -> None:
        [news] = self.read([self.place()], most)
        self.told += news

    def place(self) -> Place:
        return Place.parse(str(self.told[-1][0])) if self.told else Place()

    def read(self, places: list[Place], most: int) -> list[list[tuple[object, ...]]]:
        """What readers at places are told, but how runs end: of that only the last is told."""
        readers = [Follower(self.job, "tenant", "owner", place) for place in places]
        found = self.do(read_next(self.connection, readers, most=most))
        news: list[list[tuple[object, ...]]] = [[] for _ in places]
        for number, rows in found.items():
            place = places[number]
            for row in rows:
                place = place.after(row)
                what = (str(place), *(row[name] for name in COLUMNS))
                if row["kind"] != "result":
                    news[number].append(what)
        return news

    def teardown(self) -> None:
        if not hasattr(self, "job"):
            return
        [told, rest] = self.read([Place(), self.place()], ALL)
        assert self.told + rest == told, "nothing is lost or doubled, whenever a reader came back"
        cuts = self.read([Place.parse(str(event[0])) for event in told], ALL)
        assert cuts == [told[number:] for number in range(1, len(told) + 1)]
        signals = [event[2:] for event in told if event[1] == "signal"]
        assert len(signals) == len(self.history)
        assert set(signals) == self.history

    @invariant()
    def what_is_stored_is_what_was_told(self) -> None:
        if hasattr(self, "job"):
            found = self.do(read_signals(self.connection, self.job, self.run))
            assert {row.name: row.value for row in found} == self.signals
