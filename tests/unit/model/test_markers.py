from __future__ import annotations

import copy
import inspect
import operator
from collections.abc import Callable

import pytest

from headrace import Each, Use
from headrace.errors import MarkerUsedError
from headrace.model.markers import EachSpec, UseSpec, spec_of


class Client:
    async def call(self) -> int:
        return 1


USES: list[Callable[[object], object]] = [
    lambda marker: marker.call,
    lambda marker: marker(),
    lambda marker: marker[0],
    lambda marker: marker + 1,
    lambda marker: marker < 1,
    lambda marker: 1 in marker,
    lambda marker: f"{marker}",
    lambda marker: marker.__enter__(),
    list,
    len,
    bool,
    str,
    int,
    operator.not_,
]


class TestUsingAMarker:
    @pytest.mark.parametrize("use", USES)
    @pytest.mark.parametrize("marker", [Use(Client), Each([1, 2])])
    def test_every_use_raises_and_says_what_to_do(
        self, use: Callable[[object], object], marker: object
    ):
        with pytest.raises(MarkerUsedError, match="a direct call of a step must pass every"):
            use(marker)

    def test_a_client_attribute_of_any_name_raises(self):
        with pytest.raises(MarkerUsedError):
            assert Use(Client).source  # type: ignore[attr-defined]

    async def test_a_direct_call_without_its_client_says_so(self):
        async def step(client: Client = Use(Client)) -> int:
            return await client.call()

        with pytest.raises(MarkerUsedError, match="Use"):
            await step()
        assert await step(Client()) == 1

    def test_tools_can_look_at_it(self):
        def step(n: int = Each([1])) -> int: ...

        assert str(inspect.signature(step)) == "(n: 'int' = Each(...)) -> 'int'"
        assert copy.copy(inspect.signature(step)) == inspect.signature(step)


class TestSpec:
    def test_a_list_is_copied_when_the_marker_is_made(self):
        words = ["a"]
        marker = Each(words)
        words.append("b")
        assert spec_of(marker) == EachSpec(("a",), None)

    def test_a_factory_is_kept_as_it_is(self):
        assert spec_of(Use(Client)) == UseSpec(Client)

    def test_a_plain_default_is_no_marker(self):
        assert spec_of(3) is None
