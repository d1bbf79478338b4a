"""What a bucket lets pass, against a model that knows nothing of how it is kept."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random

import pytest

from headrace.store.pool import connect
from headrace.store.rate_limits import (
    EARLY_S,
    IN_PLACE_S,
    BucketKey,
    Numbers,
    Turn,
    Wish,
    clear_limit,
    hold,
    list_limits,
    prune_limits,
    reserve,
    set_limit,
)
from tests.reliability.still_clock import StillClock

KEY = BucketKey("service", "")
NOISE = 0.02
"""Of amounts: the time that a statement takes is counted, too."""


@pytest.fixture
async def clock(database: str) -> AsyncIterator[StillClock]:
    """The fresh database's clock."""
    clock = await StillClock.open(database)
    yield clock
    await clock.connection.close()


@dataclass
class Passed:
    """What passed, and when: of one dimension."""

    rate: float
    most: float
    amounts: list[tuple[float, float]] = field(default_factory=list)

    def above(self) -> float:
        """The most by which any stretch of time passed the bucket and what flowed in meanwhile."""
        level = at = 0.0
        worst = float("-inf")
        for when, amount in sorted(self.amounts):
            level = max(0.0, level - (when - at) * self.rate) + amount
            at, worst = when, max(worst, level - self.most)
        return worst


def note(passed: tuple[Passed, Passed], at: float, wish: Wish, turn: Turn) -> None:
    for one, amount in zip(passed, (wish.requests, wish.tokens), strict=True):
        if turn.goes and amount:
            one.amounts.append((at + turn.wait_s, amount))


async def ask(clock: StillClock, numbers: Numbers, *wishes: Wish) -> list[Turn]:
    return await reserve(clock.connection, KEY, numbers, wishes)


async def ask_once(clock: StillClock, numbers: Numbers, wish: Wish) -> Turn:
    (turn,) = await ask(clock, numbers, wish)
    return turn


class TestOverAnyStretchOfTime:
    @pytest.mark.parametrize("seed", range(4))
    async def test_no_more_passes_than_the_bucket_and_what_flows_in(
        self, clock: StillClock, seed: int
    ):
        random = Random(seed)  # noqa: S311 - as a test needs
        numbers = Numbers(
            random.choice([5, 50]), random.choice([100, 2_000]), 1, random.choice([0.5, 1, 10])
        )
        passed = (
            Passed(numbers.requests, numbers.requests * numbers.burst_s),
            Passed(numbers.tokens or 0, (numbers.tokens or 0) * numbers.burst_s),
        )
        most = passed[1].most
        for _ in range(60):
            await clock.set(clock.seconds + random.choice([0, 0.01, 0.3, 2, 30]))
            wishes = [
                Wish(1, random.choice([0, random.uniform(1, most), most / 50]), bool(back))
                for back in random.choices([0, 1], k=random.randint(1, 15))
            ]
            for wish, turn in zip(wishes, await ask(clock, numbers, *wishes), strict=True):
                note(passed, clock.seconds, wish, turn)
            if random.random() < 0.1:
                await hold(
                    clock.connection, KEY, numbers, lasts=timedelta(seconds=random.uniform(0, 5))
                )
        assert passed[0].amounts
        for one in passed:
            assert one.above() <= NOISE * max(1, one.rate)

    async def test_the_first_calls_empty_the_bucket_and_the_next_are_spaced(
        self, clock: StillClock
    ):
        turns = await ask(clock, Numbers(10, None, 1, 0.5), *[Wish(1, 0)] * 12)
        assert [round(turn.wait_s, 1) for turn in turns] == [
            *[0.0] * 5, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7,
        ]  # fmt: skip

    async def test_there_is_no_window_at_whose_edge_more_passes(self, clock: StillClock):
        numbers, passed = Numbers(60, None, 60, 60), 0
        for second in range(0, 240, 3):
            await clock.set(second)
            passed += sum(turn.goes for turn in await ask(clock, numbers, *[Wish(1, 0)] * 10))
        # What a bucket holds, what flowed in, and what was promised for the second after.
        assert 60 + 236 <= passed <= 60 + 237 + 1

    async def test_many_connections_at_once_get_what_is_there_and_no_more(self, database: str):
        numbers = Numbers(1, None, 60, 60 * 30)
        connections = [await connect(database) for _ in range(8)]
        turns = await asyncio.gather(
            *(reserve(connection, KEY, numbers, [Wish(1, 0)] * 10) for connection in connections)
        )
        for connection in connections:
            await connection.close()
        assert sum(turn.goes for some in turns for turn in some) == 30


class TestWhileCallersWait:
    @pytest.mark.parametrize("seed", range(2))
    async def test_it_is_never_idle(self, clock: StillClock, seed: int):
        random, rate = Random(seed), 20.0  # noqa: S311 - as a test needs
        numbers = Numbers(rate, None, 1, 0.2)
        level, at = 4.0, 0.0  # a model: what is left, below zero what is promised
        for _ in range(150):
            await clock.set(clock.seconds + random.choice([0, 0.02, 0.1, 0.5]))
            turn = await ask_once(clock, numbers, Wish(1, 0, is_back=True))
            level, at = min(4.0, level + (clock.seconds - at) * rate), clock.seconds
            wait_s = max(0.0, (1 - level) / rate)
            assert turn.goes == (wait_s <= IN_PLACE_S + NOISE / rate)
            if turn.goes:
                assert turn.wait_s == pytest.approx(wait_s, abs=NOISE)
                level -= 1

    async def test_thousands_who_are_sent_away_come_back_in_line(self, clock: StillClock):
        rate, count = 50.0, 400
        numbers = Numbers(rate, None, 1, 0.2)
        due = [(0.0, number, 0) for number in range(count)]
        went: dict[int, float] = {}
        sent_away: dict[int, int] = {}
        while due:
            now = due[0][0]
            batch = []
            while due and due[0][0] <= now:
                batch.append(heapq.heappop(due))
            await clock.set(now)
            wishes = [Wish(1, 0, is_back=times > 0) for _, _, times in batch]
            for (_, number, times), turn in zip(
                batch, await ask(clock, numbers, *wishes), strict=True
            ):
                if turn.goes:
                    went[number] = now + turn.wait_s
                else:
                    sent_away[number] = times + 1
                    back = round(now + turn.wait_s, 2)  # a scheduler's grain
                    heapq.heappush(due, (back, number, times + 1))
        assert max(sent_away.values()) == 1
        assert max(went.values()) == pytest.approx((count - 10) / rate, abs=0.5)
        order = sorted(went, key=went.__getitem__)
        assert all(abs(place - number) <= rate * EARLY_S for place, number in enumerate(order))

    async def test_newcomers_do_not_overtake_those_who_were_sent_away(self, clock: StillClock):
        numbers = Numbers(10, None, 1, 0.1)
        turns = await ask(clock, numbers, *[Wish(1, 0)] * 40)
        last_s = turns[-1].wait_s
        await clock.set(0.5)
        newcomer, known = await ask(clock, numbers, Wish(1, 0), Wish(1, 0, is_back=True))
        assert known.goes
        assert not newcomer.goes
        assert newcomer.wait_s == pytest.approx(last_s - 0.5 + 0.1, abs=NOISE)

    async def test_a_newcomer_takes_what_lies_there_though_others_are_to_come(
        self, clock: StillClock
    ):
        numbers = Numbers(10, None, 1, 0.1)
        await ask(clock, numbers, *[Wish(1, 0)] * 40)
        await clock.set(1.5)
        assert (await ask_once(clock, numbers, Wish(1, 0))).goes

    async def test_a_call_that_is_too_large_to_wait_in_place_is_not_starved(
        self, clock: StillClock
    ):
        numbers = Numbers(1_000, 100, 1, 10)
        await ask(clock, numbers, Wish(1, 1_000))
        await clock.set(0.1)
        large = await ask_once(clock, numbers, Wish(1, 500))
        assert not large.goes
        due = 0.1 + large.wait_s
        assert due < 6
        while clock.seconds < due:
            await clock.set(clock.seconds + 0.2)
            await ask(clock, numbers, *[Wish(1, 10, is_back=True)] * 5)
        back = await ask_once(clock, numbers, Wish(1, 500, is_back=True))
        assert back.goes

    async def test_a_call_that_is_larger_than_the_bucket_takes_a_full_one(self, clock: StillClock):
        numbers = Numbers(100, 100, 1, 2)
        assert (await ask_once(clock, numbers, Wish(1, 500))).goes
        later = await ask_once(clock, numbers, Wish(1, 1))
        assert not later.goes
        assert later.wait_s + EARLY_S == pytest.approx(3.01, abs=NOISE)


class TestTwoDimensions:
    async def test_the_scarcer_one_decides(self, clock: StillClock):
        numbers = Numbers(10, 50, 1, 1)
        by_tokens = await ask(clock, numbers, Wish(1, 50), Wish(1, 10))
        assert [round(turn.wait_s, 1) for turn in by_tokens] == [0.0, 0.2]
        await clock.set(10)
        by_requests = await ask(clock, numbers, *[Wish(1, 1)] * 12)
        assert by_requests[-1].wait_s == pytest.approx(0.2, abs=NOISE)

    async def test_what_costs_no_tokens_does_not_wait_for_them(self, clock: StillClock):
        numbers = Numbers(100, 50, 1, 10)
        turns = await ask(clock, numbers, Wish(1, 500), Wish(1, 40), Wish(1, 0))
        assert [round(turn.wait_s, 1) for turn in turns] == [0.0, 0.8, 0.0]


class TestSettling:
    async def test_what_was_not_used_is_there_for_others(self, clock: StillClock):
        numbers = Numbers(100, 100, 1, 1)
        await ask(clock, numbers, Wish(1, 100))
        await reserve(clock.connection, KEY, numbers, [], back=(0, 60))
        turns = await ask(clock, numbers, Wish(1, 60), Wish(1, 10))
        assert [round(turn.wait_s, 1) for turn in turns] == [0.0, 0.1]

    async def test_what_was_used_more_is_waited_for(self, clock: StillClock):
        numbers = Numbers(100, 100, 1, 1)
        await ask(clock, numbers, Wish(1, 10))
        await reserve(clock.connection, KEY, numbers, [], back=(0, -140))
        turn = await ask_once(clock, numbers, Wish(1, 10))
        assert turn.wait_s == pytest.approx(0.6, abs=NOISE)

    async def test_nothing_is_given_back_above_the_brim(self, clock: StillClock):
        numbers = Numbers(100, 100, 1, 1)
        await ask(clock, numbers, Wish(1, 50))
        await clock.set(10)
        await reserve(clock.connection, KEY, numbers, [], back=(0, 50))
        turns = await ask(clock, numbers, Wish(1, 100), Wish(1, 10))
        assert turns[1].wait_s == pytest.approx(0.1, abs=NOISE)


class TestHolding:
    async def test_nobody_passes_before_its_end_and_then_the_bucket_is_empty(
        self, clock: StillClock
    ):
        numbers = Numbers(10, None, 1, 1)
        held_s = await hold(clock.connection, KEY, numbers, lasts=timedelta(seconds=20))
        assert held_s == pytest.approx(20)
        turn = await ask_once(clock, numbers, Wish(1, 0))
        assert not turn.goes
        assert turn.is_held
        assert turn.wait_s + EARLY_S == pytest.approx(20.1, abs=NOISE)
        await clock.set(19.5)
        turns = await ask(clock, numbers, *[Wish(1, 0, is_back=True)] * 3)
        assert [round(turn.wait_s, 1) for turn in turns] == [0.6, 0.7, 0.8]

    async def test_a_shorter_one_does_not_end_a_longer_one(self, clock: StillClock):
        numbers = Numbers(10, None, 1, 1)
        await hold(clock.connection, KEY, numbers, lasts=timedelta(seconds=20))
        held_s = await hold(clock.connection, KEY, numbers, lasts=timedelta(seconds=3))
        assert held_s == pytest.approx(20)

    async def test_a_hold_of_nothing_empties_the_bucket(self, clock: StillClock):
        numbers = Numbers(10, None, 1, 1)
        await hold(clock.connection, KEY, numbers, lasts=timedelta())
        turns = await ask(clock, numbers, *[Wish(1, 0)] * 2)
        assert [round(turn.wait_s, 1) for turn in turns] == [0.1, 0.2]


class TestNumbersOfOperators:
    async def test_they_go_before_those_of_the_code_until_they_are_cleared(self, clock: StillClock):
        numbers = Numbers(10, 100, 1, 1)
        await set_limit(
            clock.connection, KEY, requests=2, tokens=None, per_s=None, burst_s=None,
            concurrent=3, by="ann", reason="a new contract",
        )  # fmt: skip
        turns = await ask(clock, numbers, *[Wish(1, 0)] * 3)
        assert [round(turn.wait_s, 1) for turn in turns] == [0.0, 0.0, 0.5]
        assert turns[0].concurrent == 3
        (status,) = await list_limits(clock.connection)
        assert (status.requests, status.tokens, status.concurrent) == (2, 100, 3)
        assert (status.set_by, status.reason) == ("ann", "a new contract")
        assert await clear_limit(clock.connection, KEY)
        await clock.set(5)
        turns = await ask(clock, numbers, *[Wish(1, 0)] * 10)
        assert not any(turn.wait_s for turn in turns)
        assert not await clear_limit(clock.connection, KEY)

    async def test_a_tenants_own_go_before_those_of_all(self, clock: StillClock):
        numbers = Numbers(10, None, 1, 1)
        for tenant, requests in (("", 4), ("acme", 1)):
            await set_limit(
                clock.connection, BucketKey("service", tenant), requests=requests, tokens=None,
                per_s=None, burst_s=None, concurrent=None, by="ann", reason=None,
            )  # fmt: skip
        passed = {}
        for tenant in ("acme", "other"):
            turns = await reserve(
                clock.connection, BucketKey("service", tenant), numbers, [Wish(1, 0)] * 6
            )
            passed[tenant] = sum(turn.wait_s == 0 for turn in turns)
        assert passed == {"acme": 1, "other": 4}


class TestRetention:
    async def test_a_bucket_that_nobody_used_for_a_week_is_forgotten(self, clock: StillClock):
        numbers = Numbers(10, None, 1, 1)
        await ask_once(clock, numbers, Wish(1, 0))
        await clock.set(6 * 86_400)
        assert await prune_limits(clock.connection) == 0
        await clock.set(8 * 86_400)
        assert await prune_limits(clock.connection) == 1
        assert await list_limits(clock.connection) == []
