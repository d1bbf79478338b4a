"""What an undo function may ask for, and in which order undo steps run."""

# ruff: noqa: ANN001 - a missing annotation is what is tested

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from headrace import Each, Pipeline, Retry, StepContext, Transaction, Use
from headrace.errors import DefinitionError
from headrace.model.step import Source, Step
from headrace.model.undo import undo_graph


def client() -> int:
    return 1


async def nothing() -> None: ...


def trip(**options: Any) -> Pipeline[int, str]:
    """A pipeline whose step `book`, which waits for `plan` and has items, can be undone.

    Args:
        options: Of that step.
    """
    pipe = Pipeline("trip", input=int, output=str)

    @pipe.step
    async def weather(day: int) -> float: ...

    @pipe.step(undo=nothing)
    async def route(day: int) -> str: ...

    @pipe.step
    async def plan(route: str) -> list[str]: ...

    @pipe.step(retry=Retry(attempts=3), timeout=7, parallel=2, was="reserve", **options)
    async def book(plan: list[str], town: str = Each(plan)) -> int | None: ...

    @pipe.step
    async def end(book: list[int | None], weather: float) -> str: ...

    return pipe


def undo_of(pipe: Pipeline[Any, Any], step: str = "book") -> Step:
    undo = pipe.steps[step].undo
    assert undo is not None
    return undo


def refused(undo: Callable[..., object]) -> DefinitionError:
    with pytest.raises(DefinitionError) as caught:
        trip(undo=undo)
    return caught.value


class TestWhatItTakes:
    def test_the_output_of_the_item_the_item_and_what_was_there_before(self):
        async def cancel(  # noqa: PLR0917
            book: int | None,
            town: str,
            plan: list[str],
            route: str,
            day: int,
            ctx: StepContext,
            tx: Transaction,
            agency: int = Use(client),
        ) -> None: ...

        undo = undo_of(trip(undo=cancel))
        assert [binding.source for binding in undo.bindings] == [
            Source.ITEM_OUTPUT, Source.ITEM, Source.OUTPUT, Source.OUTPUT, Source.INPUT,
            Source.CONTEXT, Source.TRANSACTION, Source.CLIENT,
        ]  # fmt: skip
        assert undo.each is not None
        assert (undo.name, undo.was, undo.undoes) == ("book.undo", ("reserve.undo",), "book")

    def test_it_is_tried_as_its_step_is_or_as_it_says(self):
        undo = undo_of(trip(undo=nothing))
        assert (undo.retry.attempts, undo.timeout, undo.parallel) == (
            3, trip().steps["book"].timeout, 2,
        )  # fmt: skip
        assert undo_of(trip(undo=nothing, undo_retry=Retry(attempts=9))).retry.attempts == 9

    def test_a_plain_function_runs_in_a_thread(self):
        def cancel(book: int | None) -> None: ...

        undo = undo_of(trip(undo=cancel))
        assert (undo.is_async, undo.runs_in) == (False, "thread")


class TestWhatIsRefused:
    def test_another_type_than_the_step_returns(self):
        async def cancel(book: int) -> None: ...

        error = refused(cancel)
        assert error.code == "UNDO_UNFIT"
        assert "write `book: int | None`" in str(error)

    def test_the_list_of_all_items(self):
        async def cancel(book: list[int | None]) -> None: ...

        error = refused(cancel)
        assert error.code == "UNDO_UNFIT"
        assert "returns for each item" in str(error)

    def test_another_type_than_the_item_has(self):
        async def cancel(town: int) -> None: ...

        assert "gets as `town`: write `town: str`" in str(refused(cancel))

    def test_a_step_that_may_not_have_ended(self):
        async def cancel(weather: float) -> None: ...

        error = refused(cancel)
        assert error.code == "UNDO_UNFIT"
        assert "add it to after= of book" in str(error)

    def test_a_marker(self):
        async def cancel(town: str = Each(["a"])) -> None: ...

        error = refused(cancel)
        assert error.code == "UNDO_UNFIT"
        assert "take the item by its parameter's name" in str(error)

    def test_what_is_wrong_with_any_step(self):
        async def unannotated(book) -> None: ...
        async def unknown(boook: str) -> None: ...
        async def unsaid(book: int | None): ...  # noqa: ANN202
        def blocking(tx: Transaction) -> None: ...

        codes = [refused(one).code for one in (unannotated, unknown, unsaid, blocking)]
        assert codes == [
            "ANNOTATION_MISSING", "PARAMETER_UNKNOWN", "RETURN_MISSING", "TRANSACTION_SYNC",
        ]  # fmt: skip
        assert refused("book").code == "STEP_KIND"  # type: ignore[arg-type]

    def test_tries_of_an_undo_that_is_not_there(self):
        with pytest.raises(DefinitionError, match="undo_retry= is of the function"):
            trip(undo_retry=Retry())


class TestGraph:
    def test_all_run_one_after_the_other_against_the_order_of_definition(self):
        graph = trip(undo=nothing).undo_graph
        assert list(graph.steps) == ["book.undo", "route.undo"]
        assert [step.position for step in graph.steps.values()] == [0, 1]
        assert graph.dependents == {"book.undo": ("route.undo",), "route.undo": ()}
        assert graph.steps["route.undo"].needs == ("book.undo",)

    def test_what_was_not_done_is_no_part_of_it(self):
        graph = undo_graph(trip(undo=nothing).steps, {"route", "plan"})
        assert dict(graph.dependents) == {"route.undo": ()}
        assert graph.steps["route.undo"].needs == ()

    def test_no_other_step_can_have_the_name_of_an_undo(self):
        pipe = Pipeline("pipe", input=int, output=int)
        with pytest.raises(DefinitionError, match="not a Python name"):
            pipe.step(name="a.undo")(nothing)


class TestHash:
    def test_it_tells_whether_a_step_can_be_undone(self):
        hashes = [trip(**options).definition_hash for options in ({}, {"undo": nothing}, {})]
        assert hashes[0] == hashes[2] != hashes[1]
