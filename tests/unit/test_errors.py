from __future__ import annotations

import copy
import inspect
import pickle
from datetime import timedelta
from typing import Any

import pytest

from headrace import errors
from headrace.errors import (
    ConflictError,
    HeadraceError,
    InvalidError,
    NotFoundError,
    PipelineNotFoundError,
    Problem,
    RetryAfter,
    SchemaError,
    Steering,
    UnavailableError,
)

FAMILIES = (InvalidError, NotFoundError, ConflictError, UnavailableError)
CLASSES = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, HeadraceError | Steering)
]
SAMPLES: dict[str, Any] = {
    "str": "word",
    "str | None": "orders",
    "int": 3,
    "int | None": 4,
    "object": "0198",
    "timedelta": timedelta(seconds=2),
    "timedelta | None": timedelta(seconds=3),
    "float | timedelta": 5,
    "Sequence[str]": ("one",),
    "Sequence[Problem]": (Problem("$.a", "wrong"),),
}


def sample(kind: type[Exception]) -> Exception:
    """An error of the class, with a value for each parameter."""
    if "__init__" not in {name for base in kind.__mro__[:-3] for name in vars(base)}:
        return kind("word")
    parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]
    return kind(*(SAMPLES[parameter.annotation] for parameter in parameters))


class TestEveryError:
    @pytest.mark.parametrize("kind", CLASSES)
    def test_it_survives_pickling_and_copying_with_its_fields(self, kind: type[Exception]):
        error = sample(kind)
        for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301 - ours
            assert type(other) is kind
            assert vars(other) == vars(error)
            assert str(other) == str(error) != ""

    @pytest.mark.parametrize("kind", CLASSES)
    def test_it_is_of_one_family_or_steers(self, kind: type[Exception]):
        families = [family for family in FAMILIES if issubclass(kind, family)]
        if kind is HeadraceError or issubclass(kind, Steering):
            assert families == []
        else:
            assert len(families) == 1

    def test_codes_are_stable_words_and_each_is_used_once(self):
        codes = [kind.code for kind in CLASSES if "code" in vars(kind)]
        assert len(set(codes)) == len(codes)
        assert all(code.isidentifier() for code in codes)

    @pytest.mark.parametrize("kind", CLASSES)
    def test_it_says_what_it_means(self, kind: type[Exception]):
        assert kind.__doc__


class TestTexts:
    def test_a_close_pipeline_name_is_suggested(self):
        assert "did you mean 'consensus'?" in str(PipelineNotFoundError("consensu", ["consensus"]))

    def test_a_schema_says_which_side_is_old(self):
        assert "run `headrace migrate`" in str(SchemaError(found=1, needed=2))
        assert "install the version" in str(SchemaError(found=3, needed=2))


class TestRetryAfter:
    def test_it_takes_seconds_or_a_timedelta_and_is_cut_to_an_hour(self):
        assert RetryAfter(1.5).delay == timedelta(seconds=1.5)
        assert RetryAfter(timedelta(minutes=2)).delay == timedelta(minutes=2)
        assert RetryAfter(7_200).delay == timedelta(hours=1)

    @pytest.mark.parametrize("delay", [-1, float("nan"), timedelta(seconds=-1)])
    def test_a_negative_delay_is_refused(self, delay: float):
        with pytest.raises(ValueError, match="0 s or more"):
            RetryAfter(delay)
