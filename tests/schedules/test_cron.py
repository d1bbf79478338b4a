"""Which moments a cron expression means."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headrace.model.cron import ALIASES, Cron, CronError, ZoneError
from tests.schedules.crontab import DAY, HOUR, MINUTE

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Havana",
    "Asia/Kolkata",
)
EXPRESSIONS = (
    "* * * * *",
    "*/10 * * * *",
    "5 * * * *",
    "30 2 * * *",
    "0,30 2,3 * * *",
    "0 0 * * *",
    "15 */2 * * 0",
    "30 1 29 * *",
    "0 12 1 1 *",
)
START = datetime(2025, 12, 30, tzinfo=UTC)
moments = st.integers(0, 730 * 86_400).map(lambda seconds: START + timedelta(seconds=seconds))


def local(cron: Cron, start: str, count: int) -> list[str]:
    """The first slots after a time in UTC, as the clocks of the zone show them."""
    walk = cron.walk(datetime.fromisoformat(start).replace(tzinfo=UTC))
    return [cron.local(next(walk)).strftime("%d %H:%M%z")[:-2] for _ in range(count)]


class TestSpring:
    """In Berlin the hour from 2 to 3 is left out on 29 March 2026."""

    def test_a_fixed_time_in_it_comes_at_its_end(self):
        cron = Cron("30 2 * * *", "Europe/Berlin")
        assert local(cron, "2026-03-28 00:00", 3) == ["28 02:30+01", "29 03:00+02", "30 02:30+02"]

    def test_an_hourly_one_has_23_that_day(self):
        cron = Cron("5 * * * *", "Europe/Berlin")
        found = local(cron, "2026-03-28 23:00", 4)
        assert found == ["29 00:05+01", "29 01:05+01", "29 03:05+02", "29 04:05+02"]

    def test_one_each_ten_minutes_goes_on(self):
        cron = Cron("*/10 * * * *", "Europe/Berlin")
        assert local(cron, "2026-03-29 00:35", 4) == [
            "29 01:40+01", "29 01:50+01", "29 03:00+02", "29 03:10+02",
        ]  # fmt: skip


class TestAutumn:
    """In Berlin the hour from 2 to 3 comes twice on 25 October 2026."""

    def test_a_fixed_time_in_it_comes_once(self):
        cron = Cron("30 2 * * *", "Europe/Berlin")
        assert local(cron, "2026-10-24 00:00", 3) == ["24 02:30+02", "25 02:30+02", "26 02:30+01"]

    def test_and_from_within_the_second_hour_not_again(self):
        cron = Cron("30 2 * * *", "Europe/Berlin")
        assert local(cron, "2026-10-25 01:15", 1) == ["26 02:30+01"]

    def test_an_hourly_one_has_25_that_day(self):
        cron = Cron("5 * * * *", "Europe/Berlin")
        found = local(cron, "2026-10-24 22:00", 25)
        assert found[1:5] == ["25 01:05+02", "25 02:05+02", "25 02:05+01", "25 03:05+01"]
        assert {slot[:2] for slot in found} == {"25"}

    def test_one_each_ten_minutes_goes_on(self):
        cron = Cron("*/10 * * * *", "Europe/Berlin")
        assert local(cron, "2026-10-25 00:35", 4) == [
            "25 02:40+02", "25 02:50+02", "25 02:00+01", "25 02:10+01",
        ]  # fmt: skip


class TestSlots:
    @settings(max_examples=40, deadline=None)
    @given(st.sampled_from(EXPRESSIONS), st.sampled_from(ZONES), moments, st.integers(0, 5_000))
    def test_it_does_not_matter_from_where_one_looks(
        self, text: str, zone: str, start: datetime, later: int
    ):
        """The slots are a fixed set: those after a later moment are the later ones of it."""
        cron = Cron(text, zone)
        moment, end = start + later * MINUTE, start + later * MINUTE + 40 * HOUR
        whole = list(takewhile(lambda slot: slot <= end, cron.walk(start)))
        assert whole == sorted(set(whole))
        assert [slot for slot in whole if slot > moment] == list(
            takewhile(lambda slot: slot <= end, cron.walk(moment))
        )

    @settings(max_examples=40, deadline=None)
    @given(st.sampled_from(EXPRESSIONS), st.sampled_from(ZONES), moments, st.integers(1, 20_000))
    def test_the_latest_is_the_last_of_them(
        self, text: str, zone: str, start: datetime, minutes: int
    ):
        cron, end = Cron(text, zone), start + minutes * MINUTE
        between = list(takewhile(lambda slot: slot < end, cron.walk(start)))
        assert cron.latest(start, end) == (between[-1] if between else None)

    @settings(max_examples=40, deadline=None)
    @given(
        st.sets(st.integers(0, 59), min_size=1, max_size=4),
        st.integers(1, 6),
        st.sampled_from(ZONES),
        moments,
    )
    @example({0, 30}, 1, "Europe/Berlin", datetime(2026, 10, 24, 22, tzinfo=UTC))
    @example({0}, 6, "Australia/Lord_Howe", datetime(2026, 4, 4, 12, tzinfo=UTC))
    @example({0}, 3, "Australia/Lord_Howe", datetime(2026, 10, 3, 12, tzinfo=UTC))
    @example({0, 30}, 1, "America/Havana", datetime(2026, 10, 31, 12, tzinfo=UTC))
    def test_where_the_hour_is_free_they_are_the_minutes_that_clocks_show(
        self, minutes: set[int], step: int, zone: str, start: datetime
    ):
        start = start.replace(second=0, microsecond=0)
        cron = Cron(f"{','.join(map(str, minutes))} */{step} * * *", zone)
        moments = (start + number * MINUTE for number in range(1, 48 * 60 + 1))
        times = ((moment, moment.astimezone(ZoneInfo(zone))) for moment in moments)
        shown = [
            moment for moment, local in times if local.minute in minutes and local.hour % step == 0
        ]
        assert list(takewhile(lambda slot: slot <= start + 2 * DAY, cron.walk(start))) == shown

    @pytest.mark.parametrize(("alias", "expression"), ALIASES.items())
    def test_words_stand_for_expressions(self, alias: str, expression: str):
        start = datetime(2026, 5, 17, 3, 4, tzinfo=UTC)
        cron, same = Cron(alias.upper(), "Europe/Berlin"), Cron(expression, "Europe/Berlin")
        assert cron.after(start) == same.after(start)

    def test_a_year_of_minutes_is_passed_over_in_no_time(self):
        start = datetime(2026, 1, 1, tzinfo=UTC)
        end = start + timedelta(days=36_500)
        assert Cron("* * * * *", "Europe/Berlin").latest(start, end) == end - MINUTE


class TestRefusals:
    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("", "0 fields"),
            ("5 * * *", "4 fields"),
            ("0 5 * * * *", "6 fields"),
            ("60 * * * *", "bad minute"),
            ("* * * * MON-", "bad day-of-week"),
            ("0 0 31 2 *", "bad day-of-month"),
            ("@reboot", "@hourly"),
            ("x" * 500, "no cron expression"),
        ],
    )
    def test_a_wrong_expression_says_why(self, text: str, why: str):
        with pytest.raises(CronError) as raised:
            Cron(text, "UTC")
        assert why in str(raised.value)

    @settings(max_examples=200, deadline=None)
    @given(
        st.lists(st.text("0123456789*,-/#LW?MONJA", min_size=1, max_size=6), min_size=5, max_size=5)
    )
    def test_whatever_is_written_is_a_cron_or_a_cron_error(self, fields: list[str]):
        try:
            cron = Cron(" ".join(fields), "Europe/Berlin")
        except CronError:
            return
        assert cron.after(datetime(2026, 1, 1, tzinfo=UTC)) > datetime(2026, 1, 1, tzinfo=UTC)

    @pytest.mark.parametrize("name", ["Europe/Berln", "", "../Berlin", "Europe", "\0", 7, None])
    def test_an_unknown_zone_is_refused(self, name: str):
        with pytest.raises(ZoneError, match="is no time zone"):
            Cron("* * * * *", name)

    def test_a_slip_of_the_pen_is_helped(self):
        with pytest.raises(ZoneError, match="did you mean `Europe/Berlin`"):
            Cron("* * * * *", "Europe/Berln")
