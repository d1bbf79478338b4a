"""What a policy makes of slots that are due, whenever somebody looks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise, takewhile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.model.cron import Cron
from headrace.model.slots import COUNTED, POLICIES, Missed, next_move
from tests.schedules.crontab import DAY, HOUR, MINUTE

GRACE = timedelta(seconds=60)
START = datetime(2026, 10, 24, 20, 0, 30, tzinfo=UTC)
HOURLY = Cron("0 * * * *", "UTC")
EXPRESSIONS = ("*/10 * * * *", "5 * * * *", "30 2 * * *", "*/7 1-3 * * *")


class Watch:
    """A schedule that is looked at now and then."""

    def __init__(self, cron: Cron, missed: Missed, grace: timedelta = GRACE) -> None:
        self.cron, self.missed, self.grace = cron, missed, grace
        self.due = cron.after(START)
        self.made: list[datetime] = []
        self.passed = 0

    def look(self, now: datetime) -> None:
        while move := next_move(self.cron, self.missed, self.due, now, self.grace):
            assert move.next > self.due
            self.due, self.passed = move.next, self.passed + move.missed
            if move.slot is not None:
                self.made.append(move.slot)


def missing(missed: Missed, late: timedelta) -> list[int]:
    """The hours that have jobs when nobody looks for three slots, and then `late` after a slot."""
    watch = Watch(HOURLY, missed)
    watch.look(START.replace(hour=21, minute=0, second=1))
    watch.look(START.replace(minute=0, second=0) + 4 * HOUR + late)
    return [slot.hour for slot in watch.made]


class TestThreeMissed:
    """At 21:00 somebody looks, at 22:00, 23:00 and 0:00 nobody does."""

    @pytest.mark.parametrize(
        ("missed", "hours"), [("skip", [21]), ("once", [21, 0]), ("all", [21, 22, 23, 0])]
    )
    def test_long_after_the_last(self, missed: Missed, hours: list[int]):
        assert missing(missed, 30 * MINUTE) == hours

    @pytest.mark.parametrize(
        ("missed", "hours"), [("skip", [21, 0]), ("once", [21, 0]), ("all", [21, 22, 23, 0])]
    )
    def test_within_the_grace_of_the_last(self, missed: Missed, hours: list[int]):
        """It is no missed one then, and stands for those that were."""
        assert missing(missed, GRACE) == hours

    @pytest.mark.parametrize("missed", POLICIES)
    def test_each_slot_has_a_job_or_is_counted_as_missed(self, missed: Missed):
        watch = Watch(HOURLY, missed)
        watch.look(START + 10 * HOUR)
        assert len(watch.made) + watch.passed == 10


class TestBounds:
    @pytest.mark.parametrize("missed", ["skip", "once"])
    def test_a_million_missed_minutes_are_one_move(self, missed: Missed):
        cron = Cron("* * * * *", "Europe/Berlin")
        now = START + 700 * DAY
        move = next_move(cron, missed, cron.after(START), now, GRACE)
        assert move is not None
        assert move.next == now.replace(second=0)  # within the grace
        assert move.missed == COUNTED

    def test_nothing_is_done_before_the_time(self):
        due = HOURLY.after(START)
        early = due - timedelta(microseconds=1)
        assert next_move(HOURLY, "all", due, early, GRACE) is None
        assert next_move(HOURLY, "all", due, due, GRACE) is not None


class TestWheneverOneLooks:
    looks = st.lists(st.integers(1, 5 * 3_600), min_size=1, max_size=40)

    def watch(
        self, missed: Missed, text: str, zone: str, waits: list[int], grace: int = 60
    ) -> tuple[Watch, list[datetime], list[datetime]]:
        """A schedule after some looks, the moments of these, and all slots up to the last."""
        watch = Watch(Cron(text, zone), missed, timedelta(seconds=grace))
        moments = [START + timedelta(seconds=sum(waits[: end + 1])) for end in range(len(waits))]
        for moment in moments:
            watch.look(moment)
        past = takewhile(lambda slot: slot <= moments[-1], watch.cron.walk(START))
        return watch, moments, list(past)

    @settings(max_examples=80, deadline=None)
    @given(st.sampled_from(EXPRESSIONS), st.sampled_from(["UTC", "Europe/Berlin"]), looks)
    def test_all_makes_each_slot_once_and_in_order(self, text: str, zone: str, waits: list[int]):
        watch, _, whole = self.watch("all", text, zone, waits)
        assert watch.made == whole

    @settings(max_examples=80, deadline=None)
    @given(
        st.sampled_from(EXPRESSIONS),
        st.sampled_from(["UTC", "Europe/Berlin"]),
        looks,
        st.integers(1, 3_600),
    )
    def test_skip_makes_those_that_somebody_looked_at_within_the_grace(
        self, text: str, zone: str, waits: list[int], grace: int
    ):
        watch, moments, whole = self.watch("skip", text, zone, waits, grace)
        seen = [
            slot
            for slot in whole
            if any(timedelta() <= now - slot <= watch.grace for now in moments)
        ]
        assert watch.made == seen
        assert watch.passed == len(whole) - len(seen)

    @settings(max_examples=80, deadline=None)
    @given(
        st.sampled_from(EXPRESSIONS),
        st.sampled_from(["UTC", "Europe/Berlin"]),
        looks,
        st.integers(1, 3_600),
    )
    def test_once_makes_one_of_those_that_were_missed_between_two_looks(
        self, text: str, zone: str, waits: list[int], grace: int
    ):
        watch, moments, whole = self.watch("once", text, zone, waits, grace)
        wanted: list[datetime] = []
        for before, now in pairwise([START, *moments]):
            new = [slot for slot in whole if before < slot <= now]
            in_time = [slot for slot in new if now - slot <= watch.grace]
            wanted += in_time or new[-1:]
        assert watch.made == wanted
