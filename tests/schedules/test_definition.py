"""A schedule is checked where it is written."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import pytest

from headrace import Pipeline
from headrace.errors import DefinitionError
from tests.schedules.crontab import pipeline


@dataclass
class Order:
    name: str


def refused(function: object, *arguments: Any, **options: Any) -> DefinitionError:
    """The error about a schedule."""
    with pytest.raises(DefinitionError) as raised:
        pipeline().schedule(*(arguments or ("5 * * * *",)), **options)(function)  # type: ignore[call-overload]
    return raised.value


def good(slot: datetime) -> str:
    return slot.isoformat()


def not_a_time(slot: str) -> str:
    return slot


def not_the_input(slot: datetime) -> int:
    return slot.year


def no_annotation(slot) -> str:  # type: ignore[no-untyped-def]  # noqa: ANN001
    return str(slot)


def no_return(slot: datetime):  # type: ignore[no-untyped-def]
    return slot.isoformat()


def two(slot: datetime, other: str) -> str:
    return f"{slot}{other}"


def none_at_all() -> str:
    return ""


def named(*, slot: datetime) -> str:
    return slot.isoformat()


def several(slot: datetime):  # type: ignore[no-untyped-def]
    yield slot.isoformat()


class TestFunctions:
    def test_the_function_stays_what_it_is(self):
        assert pipeline().schedule("5 * * * *")(good) is good

    async def test_plain_async_and_wrapped_ones_are_taken(self):
        made = pipeline()

        @made.schedule("5 * * * *")
        async def later(moment: datetime) -> str:
            return moment.isoformat()

        @made.schedule("5 * * * *", name="dressed")
        @functools.wraps(good)
        def wrapped(*given: Any) -> str:
            return good(*given)

        assert {name: one.is_async for name, one in made.schedules.items()} == {
            "later": True,
            "dressed": False,
        }
        assert await later(datetime(2026, 1, 1, tzinfo=UTC)) == "2026-01-01T00:00:00+00:00"

    def test_a_wider_parameter_and_a_narrower_return_are_taken(self):
        @dataclass
        class Rush(Order):
            hours: int = 1

        orders = Pipeline("orders", input=Order | None, output=str)

        @orders.schedule("5 * * * *")
        def rush(day: date) -> Order:
            return Rush(str(day))

        assert list(orders.schedules) == ["rush"]

    @pytest.mark.parametrize(
        "function",
        [
            not_a_time, not_the_input, no_annotation, no_return, two, none_at_all, named, several,
            Order, 7, functools.partial(good), datetime.now,
        ],
    )  # fmt: skip
    def test_others_are_refused(self, function: Callable[..., object]):
        error = refused(function)
        assert error.code == "SCHEDULE_FUNCTION"
        assert "def name(slot: datetime) -> str" in error.problem

    def test_what_is_wrong_is_named_with_its_place(self):
        error = refused(not_the_input)
        assert "reports.not_the_input()" in error.where
        assert "test_definition.py:" in error.where
        assert "must return the pipeline's input, str, not int" in error.problem

    def test_an_annotation_that_is_not_there_at_run_time_is_told(self):
        def lost(slot: Missing) -> str:  # type: ignore[name-defined]  # noqa: F821
            return str(slot)

        assert "Missing" in refused(lost).problem


class TestOptions:
    @pytest.mark.parametrize(
        ("code", "arguments", "options", "says"),
        [
            ("CRON_INVALID", ("5 * * *",), {}, "4 fields"),
            ("CRON_INVALID", (7,), {}, "no cron expression"),
            ("TIMEZONE_UNKNOWN", (), {"timezone": "Europe/Berln"}, "`Europe/Berlin`"),
            ("SCHEDULE_OPTION", (), {"missed": "twice"}, "'skip', 'once' or 'all'"),
            ("SCHEDULE_OPTION", (), {"name": "a b"}, "Python name"),
            ("SCHEDULE_OPTION", (), {"tenant": ""}, "tenant"),
            ("SCHEDULE_OPTION", (), {"owner": "x" * 201}, "owner"),
        ],
    )
    def test_wrong_ones_are_refused(
        self, code: str, arguments: tuple[Any, ...], options: dict[str, Any], says: str
    ):
        error = refused(good, *arguments, **options)
        assert error.code == code
        assert says in error.problem

    def test_a_name_is_there_once(self):
        made = pipeline()
        made.schedule("5 * * * *")(good)
        with pytest.raises(DefinitionError) as raised:
            made.schedule("6 * * * *")(good)
        assert raised.value.code == "SCHEDULE_NAME_TAKEN"
        made.schedule("6 * * * *", name="again")(good)
        assert [schedule.address for schedule in made.schedules.values()] == [
            "reports.good",
            "reports.again",
        ]

    def test_what_is_refused_is_not_added(self):
        made = pipeline()
        with pytest.raises(DefinitionError):
            made.schedule("nonsense")(good)
        assert made.schedules == {}
