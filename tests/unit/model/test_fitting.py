# ruff: noqa: ANN401 - types of any kind are what is tested

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Annotated, Any, Generic, Literal, NewType, TypeVar

import pytest
from pydantic import Field, JsonValue
from typing_extensions import TypeAliasType, TypedDict

from headrace.model.annotations import type_text
from headrace.model.fitting import fit

T = TypeVar("T")
UserId = NewType("UserId", int)
Tree = TypeAliasType("Tree", "dict[str, Tree] | int")  # type: ignore[misc]
Names = TypeAliasType("Names", list[str])


@dataclass
class Base:
    n: int


@dataclass
class Sub(Base):
    more: int = 0


@dataclass
class Box(Generic[T]):
    value: T


class IntBox(Box[int]):
    pass


class Words(TypedDict):
    one: str


class Color(StrEnum):
    RED = "red"


POSITIVE = Annotated[int, Field(gt=0)]

# What is produced, what is asked for, and the type as which it arrives.
FITS: list[tuple[Any, Any, Any]] = [
    (int, int, int),
    (None, None, type(None)),
    (Sub, Base, Sub),
    (Sub, object, Sub),
    (Sub, Any, Sub),
    (int, float, float),
    (bool, int, bool),
    (int, int | None, int),
    (int, str | float, float),
    (int | None, int | str | None, int | None),
    (int | None, float | None, float | None),
    (date, date | str, date),
    (list[int], list[float], list[float]),
    (list[Sub], list[Base], list[Sub]),
    (list[Sub], Sequence[Base], list[Sub]),
    (list[int], list, list[int]),
    (dict[str, Sub], Mapping[str, Base], dict[str, Sub]),
    (dict[str, int], dict[str, float | None], dict[str, float]),
    (tuple[int, str], tuple[float, str], tuple[float, str]),
    (tuple[int, ...], tuple[float, ...], tuple[float, ...]),
    (tuple[int, int], tuple[int, ...], tuple[int, int]),
    (tuple[int, ...], Sequence[int], tuple[int, ...]),
    (list[list[int]], Iterable[Sequence[float]], list[list[float]]),
    (UserId, int, UserId),
    (Color, str, Color),
    (Literal["a"], Literal["a", "b"], Literal["a"]),
    (Literal["a", "b"], str, Literal["a", "b"]),
    (Box[int], Box[float], Box[float]),
    (IntBox, Box[int], IntBox),
    (IntBox, Box, IntBox),
    (Words, Words, Words),
    (POSITIVE, int, POSITIVE),
    (int, POSITIVE, POSITIVE),
    (Names, list[str], Names),
    (Tree, Tree, Tree),
    (JsonValue, JsonValue | None, JsonValue),
    (dict[str, Any], dict[str, Any], dict[str, Any]),
]

DOES_NOT_FIT: list[tuple[Any, Any]] = [
    (int, str),
    (float, int),
    (Base, Sub),
    (int | None, int),
    (int | str, int),
    (None, int),
    (list[int], list[str]),
    (list[int | None], list[int]),
    (list[int], tuple[int, ...]),
    (Sequence[int], list[int]),
    (tuple[int, ...], tuple[int, int]),
    (tuple[int, int], tuple[int]),
    (dict[str, int], dict[int, int]),
    (Box[int], Box[str]),
    (IntBox, Box[str]),
    (int, UserId),
    (str, Color),
    (str, Literal["a"]),
    (Literal["a", "b"], Literal["a"]),
    (Literal[1], Literal[True]),
    (str, Sequence[str]),
    (Any, int),
    (dict[str, Any], dict[str, int]),
    (T, T),
    (list[T], list[int]),
    (int, T),
]


class TestFit:
    @pytest.mark.parametrize(("produced", "wanted", "arrived"), FITS)
    def test_what_fits_arrives_as_what_was_produced(self, produced: Any, wanted: Any, arrived: Any):
        assert fit(produced, wanted) == arrived

    @pytest.mark.parametrize(("produced", "wanted"), DOES_NOT_FIT)
    def test_what_does_not_fit_is_refused(self, produced: Any, wanted: Any):
        assert fit(produced, wanted) is None


class TestTypeText:
    @pytest.mark.parametrize(
        ("annotation", "text"),
        [
            (None, "None"),
            (int | None, "int | None"),
            (list[Sub], "list[Sub]"),
            (dict[str, tuple[int, ...]], "dict[str, tuple[int, ...]]"),
            (Literal["a", 2], "Literal['a', 2]"),
            (POSITIVE, "int"),
            (UserId, "UserId"),
            (Tree, "Tree"),
            (Any, "Any"),
            (Sequence[Base] | None, "Sequence[Base] | None"),
        ],
    )
    def test_a_type_reads_as_it_is_written(self, annotation: Any, text: str):
        assert type_text(annotation) == text
