"""What steps wait for besides their inputs: signals, delays and child jobs, as they are written."""

# ruff: noqa: ANN401 - vague annotations are what is tested

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from headrace import (
    DefinitionError,
    JobHandle,
    Pipeline,
    Signal,
    StepContext,
    SyncContext,
    Transaction,
)


@dataclass
class Answer:
    ok: bool


def asking() -> Pipeline[int, int]:
    """A pipeline with one step that takes a signal."""
    pipe = Pipeline("asking", input=int, output=int)

    @pipe.step
    async def decide(number: int, answer: Answer = Signal(timeout=60)) -> int:
        return number + answer.ok

    return pipe


def refused(function: Callable[..., Any], **options: Any) -> str:
    """The code of the error of adding a step; the pipeline must stay as it was."""
    pipe = asking()
    with pytest.raises(DefinitionError) as caught:
        pipe.step(**options)(function)
    assert list(pipe.steps) == ["decide"]
    assert list(pipe.signals) == ["answer"]
    return caught.value.code


class TestSignals:
    def test_its_name_is_that_of_the_parameter(self):
        signal = asking().signals["answer"]
        assert signal.timeout == timedelta(seconds=60)
        assert not signal.may_lack

    def test_it_may_lack_where_the_step_takes_none(self):
        pipe = Pipeline("asking", input=int, output=int)

        @pipe.step
        async def decide(number: int, answer: Answer | None = Signal()) -> int:
            return number if answer is None else 0

        assert pipe.signals["answer"].may_lack
        assert pipe.signals["answer"].timeout == timedelta(days=7)

    def test_another_step_may_take_it_alike(self):
        pipe = asking()

        @pipe.step
        async def check(decide: int, answer: Answer = Signal(timeout=60)) -> int:
            return decide + answer.ok

        assert [len(step.signals) for step in pipe.steps.values()] == [1, 1]

    def test_another_type_or_timeout_is_refused(self):
        async def other_type(decide: int, answer: str = Signal(timeout=60)) -> str: ...

        async def other_time(decide: int, answer: Answer = Signal(timeout=61)) -> str: ...

        assert refused(other_type) == "SIGNAL_DIFFERS"
        assert refused(other_time) == "SIGNAL_DIFFERS"

    def test_names_of_steps_and_of_the_input_are_refused(self):
        async def as_step(number: int, decide: Answer = Signal()) -> int: ...

        async def as_input(number: Answer = Signal()) -> int: ...

        async def answer(number: int) -> int: ...

        assert refused(as_step) == "SIGNAL_NAME"
        assert refused(as_input) == "SIGNAL_NAME"
        assert refused(answer) == "SIGNAL_NAME"

    @pytest.mark.parametrize("timeout", [0, -1, timedelta(days=366), 0.0001])
    def test_times_out_of_range_are_refused(self, timeout: timedelta | float):
        async def late(decide: int, word: str = Signal(timeout=timeout)) -> str: ...

        assert refused(late) == "SIGNAL_TIMEOUT"

    def test_types_that_cannot_be_stored_are_refused(self):
        async def vague(decide: int, word: Any = Signal()) -> str: ...

        async def none(decide: int, word: None = Signal()) -> str: ...

        assert refused(vague) == "RETURN_VAGUE"
        assert refused(none) == "TYPE_NOT_STORABLE"


class TestDelays:
    @pytest.mark.parametrize("delay", [0, -1, timedelta(days=366)])
    def test_times_out_of_range_are_refused(self, delay: timedelta | float):
        async def later(decide: int) -> str: ...

        assert refused(later, delay=delay) == "STEP_OPTION"


class TestChildren:
    def test_later_steps_take_what_the_child_makes(self):
        pipe = asking()

        @pipe.step
        async def ask(decide: int, ctx: StepContext) -> JobHandle[str]: ...

        @pipe.step
        async def use(ask: str) -> int: ...

        assert pipe.steps["ask"].has_child
        assert pipe.steps["ask"].produces is str

    def test_a_plain_function_in_a_thread_may_return_one(self):
        pipe = asking()

        @pipe.step
        def ask(decide: int, ctx: SyncContext) -> JobHandle[str]: ...

        assert pipe.steps["ask"].has_child

    def test_without_one_the_output_is_none(self):
        pipe = asking()

        @pipe.step
        async def ask(decide: int, ctx: StepContext) -> JobHandle[str] | None: ...

        assert pipe.steps["ask"].produces == (str | None)

    def test_a_handle_without_type_or_beside_others_is_refused(self):
        async def bare(decide: int, ctx: StepContext) -> JobHandle: ...  # type: ignore[type-arg]

        async def beside(decide: int, ctx: StepContext) -> JobHandle[str] | int: ...

        async def two(decide: int, ctx: StepContext) -> JobHandle[str] | JobHandle[int]: ...

        assert refused(bare) == "CHILD_TYPE"
        assert refused(beside) == "CHILD_TYPE"
        assert refused(two) == "CHILD_TYPE"

    def test_what_cannot_submit_is_refused(self):
        async def alone(decide: int) -> JobHandle[str]: ...

        def elsewhere(decide: int, ctx: SyncContext) -> JobHandle[str]: ...

        assert refused(alone) == "CHILD_TYPE"
        assert refused(elsewhere, runs_in="process") == "STEP_OPTION"

    def test_a_transaction_is_refused_with_a_hint(self):
        async def write(decide: int, tx: Transaction, ctx: StepContext) -> JobHandle[str]: ...

        pipe = asking()
        with pytest.raises(DefinitionError, match="write in an earlier step") as caught:
            pipe.step(write)
        assert caught.value.code == "CHILD_TYPE"
