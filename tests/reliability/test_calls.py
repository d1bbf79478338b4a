"""What makes two calls the same operation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace import Transaction
from headrace.errors import DefinitionError, InputError
from headrace.reliability.calls import Call, read_call


@dataclass
class Order:
    number: int
    note: str | None = None


async def charge(order: Order, cents: int, currency: str = "eur") -> str:
    return f"{order} {cents} {currency}"


async def book(tx: Transaction, cents: int) -> None:
    await tx.execute("select $1", cents)


async def tag(labels: frozenset[str], *numbers: int, **texts: str) -> None:
    raise NotImplementedError(labels, numbers, texts)


class Bank:
    async def pay(self, cents: int) -> Decimal:
        return Decimal(cents)


def call(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Call:
    return read_call(fn, args, kwargs)


class TestInput:
    def test_it_is_what_is_passed_however_it_is_passed(self):
        given = call(charge, Order(1), 5)
        assert given == call(charge, cents=5, order=Order(1, None))
        assert given.input_hash != call(charge, Order(2), 5).input_hash
        assert given.input_hash != call(charge, Order(1), 6).input_hash
        assert given.input_hash != call(charge, Order(1), 5, "usd").input_hash

    def test_the_object_of_a_method_and_a_transaction_are_no_part_of_it(self):
        assert call(Bank().pay, 5) == call(Bank().pay, 5)
        assert call(book, 5).transactional
        assert call(book, 5).input_hash == call(Bank().pay, 5).input_hash

    def test_all_of_it_counts(self):
        one = call(tag, frozenset("a"), 1, 2, x="y").input_hash
        assert one == call(tag, frozenset("a"), 1, 2, x="y").input_hash
        for other in (
            call(tag, frozenset("b"), 1, 2, x="y"),
            call(tag, frozenset("a"), 2, 1, x="y"),
            call(tag, frozenset("a"), 1, 2, x="z"),
            call(tag, frozenset("a"), 1, 2, z="y"),
        ):
            assert one != other.input_hash

    @given(st.dictionaries(st.text(max_size=5), st.integers(), max_size=5), st.randoms())
    def test_the_order_of_a_dict_is_no_part_of_it(self, values: dict[str, int], random: Random):
        async def keep(values: dict[str, int]) -> None: ...

        items = list(values.items())
        random.shuffle(items)
        assert call_local(keep, values) == call_local(keep, dict(items))

    @given(st.integers(), st.integers())
    def test_numbers_of_any_size_are_told_apart(self, one: int, other: int):
        same = call(Bank().pay, one).input_hash == call(Bank().pay, other).input_hash
        assert same == (one == other)


def call_local(fn: Callable[..., Any], *args: Any) -> bytes:
    fn.__annotations__ = {"values": dict[str, int], "return": None}
    return call(fn, *args).input_hash


class TestName:
    def test_it_is_that_of_the_function_with_its_class(self):
        async def inner() -> None: ...

        assert call(charge, Order(1), 5).operation == "charge"
        assert call(Bank().pay, 5).operation == "Bank.pay"
        assert call(inner).operation == "inner"

    def test_another_one_can_be_given(self):
        assert read_call(charge, (Order(1), 5), {}, "charge v1").operation == "charge v1"


class Client:
    """Has no JSON form."""


async def unannotated(cents) -> None:  # noqa: ANN001 - the mistake
    raise NotImplementedError(cents)


async def silent(cents: int):
    raise NotImplementedError(cents)


async def with_client(client: Client, cents: int) -> None:
    raise NotImplementedError(client, cents)


async def vague(cents: Any) -> None:  # noqa: ANN401 - the mistake
    raise NotImplementedError(cents)


class TestMistakes:
    @pytest.mark.parametrize(
        ("fn", "args", "code", "text"),
        [
            (unannotated, (5,), "ANNOTATION_MISSING", "`cents` has no annotation"),
            (silent, (5,), "RETURN_MISSING", "write `-> None`"),
            (with_client, (Client(), 5), "TYPE_NOT_STORABLE", "by its bound method"),
            (vague, (5,), "RETURN_VAGUE", "write the type in full"),
        ],
    )
    def test_what_cannot_be_compared_or_stored_is_said(
        self, fn: Callable[..., Any], args: tuple[object, ...], code: str, text: str
    ):
        with pytest.raises(DefinitionError, match=text) as caught:
            call(fn, *args)
        assert caught.value.code == code

    def test_a_value_of_another_type_is_refused_with_its_place(self):
        with pytest.raises(InputError, match=r"\$\.cents"):
            call(charge, Order(1), "five")

    def test_arguments_that_the_function_does_not_take_are_refused(self):
        with pytest.raises(TypeError, match="cents"):
            call(charge, Order(1))


def test_a_type_that_pydantic_knows_is_stored() -> None:
    async def on(day: date) -> None: ...

    on.__annotations__ = {"day": date, "return": None}
    assert call(on, date(2026, 1, 2)) == call(on, date(2026, 1, 2))
