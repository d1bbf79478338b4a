from __future__ import annotations

import pickle
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace import Retry

retries = st.builds(
    Retry,
    attempts=st.integers(1, 100),
    first=st.floats(0.1, 600),
    factor=st.floats(1, 10),
    most=st.floats(1, 86_400),
    jitter=st.floats(0, 1),
)
A_MICROSECOND = timedelta(microseconds=1)


class TestDelay:
    def test_it_grows_by_the_factor_up_to_the_most(self):
        retry = Retry(first=1, factor=2, most=6, jitter=0)
        seconds = [retry.delay(attempt, lambda: 0.5).total_seconds() for attempt in range(1, 6)]
        assert seconds == [1, 2, 4, 6, 6]

    def test_full_jitter_reaches_from_nothing_to_the_full_wait(self):
        retry = Retry(first=4)
        assert retry.delay(1, lambda: 1.0) == timedelta(0)
        assert retry.delay(1, lambda: 0.0) == timedelta(seconds=4)

    @given(retries, st.integers(0, 1_000_000), st.floats(0, 1))
    def test_it_stays_within_the_jitter_and_the_most(self, retry: Retry, attempt: int, luck: float):
        full = retry.delay(attempt, lambda: 0.0)
        delay = retry.delay(attempt, lambda: luck)
        assert full * (1 - retry.jitter) - A_MICROSECOND <= delay <= full <= retry.most

    @given(retries, st.integers(1, 1_000))
    def test_a_later_try_never_waits_less(self, retry: Retry, attempt: int):
        assert retry.delay(attempt, lambda: 0.0) <= retry.delay(attempt + 1, lambda: 0.0)


class TestConstruction:
    def test_the_defaults_are_those_of_the_documentation(self):
        assert Retry() == Retry(5, 1.0, factor=2.0, most=300.0, jitter=1.0, unless=())

    def test_durations_are_seconds_or_timedeltas(self):
        assert Retry(first=2, most=60) == Retry(
            first=timedelta(seconds=2), most=timedelta(minutes=1)
        )

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("attempts", 0),
            ("attempts", 101),
            ("attempts", 2.5),
            ("attempts", True),
            ("first", 0.05),
            ("first", 601),
            ("first", "1s"),
            ("factor", 0.9),
            ("factor", 10.1),
            ("factor", float("nan")),
            ("most", 0.5),
            ("most", 86_401),
            ("jitter", -0.1),
            ("jitter", 1.1),
            ("unless", "ValueError"),
            ("unless", (ValueError, 3)),
        ],
    )
    def test_a_value_out_of_range_is_refused_by_name(self, name: str, value: object):
        with pytest.raises(ValueError, match=name):
            Retry(**{name: value})

    def test_the_presets_are_those_of_the_documentation(self):
        assert Retry.fast == Retry(3, first=0.1, most=1, factor=2, jitter=0.1)
        assert Retry.patient == Retry(5, first=2, most=60, factor=2, jitter=0.2)
        assert Retry.aggressive == Retry(10, first=0.5, most=30, factor=1.5, jitter=0.3)

    def test_it_survives_pickling(self):
        retry = Retry(attempts=3, unless=ValueError)
        assert pickle.loads(pickle.dumps(retry)) == retry  # noqa: S301 - our own bytes


class TestUnless:
    def test_one_type_or_several_are_kept_as_a_tuple(self):
        assert Retry(unless=ValueError).unless == (ValueError,)
        assert Retry(unless=(LookupError, ValueError)).unless == (LookupError, ValueError)
