"""How parameters are filled, and what the decorator says when nothing fits."""

# ruff: noqa: ANN001, ANN401 - missing and odd annotations are what is tested

from contextlib import asynccontextmanager
from typing import Any

import pytest

from headrace import Each, Pipeline, StepContext, SyncContext, Transaction, Use
from headrace.model.step import Binding, Source
from tests.unit.model.consensus import (
    BetterProposal,
    Idea,
    Model,
    Other,
    Proposal,
    Review,
    added,
    bound,
    consensus,
    model,
    refused,
)


class TestOutputs:
    def test_a_parameter_takes_the_output_of_the_step_of_its_name(self):
        async def step(expand: Proposal) -> int: ...

        binding = bound(step)
        assert (binding.source, binding.step) == (Source.OUTPUT, "expand")
        assert binding.codec is not None
        assert binding.codec.decode('{"title":"x"}') == Proposal("x")

    def test_a_subclass_arrives_as_itself(self):
        pipeline = consensus()

        @pipeline.step
        async def better(expand: Proposal) -> BetterProposal: ...

        async def step(better: Proposal) -> int: ...

        codec = bound(step, pipeline).codec
        assert codec is not None
        assert codec.decode('{"title":"x","score":3}') == BetterProposal("x", 3)

    def test_another_type_is_refused_with_the_right_one(self):
        async def step(expand: Review) -> int: ...

        error = refused(step)
        assert error.code == "TYPE_MISMATCH"
        assert "write `expand: Proposal`" in str(error)

    def test_an_optional_output_needs_an_optional_parameter(self):
        async def step(maybe: Proposal) -> int: ...
        async def fine(maybe: Proposal | None) -> int: ...

        error = refused(step)
        assert error.code == "TYPE_OPTIONAL"
        assert "write `maybe: Proposal | None`" in str(error)
        assert bound(fine).source is Source.OUTPUT

    def test_a_missing_annotation_is_told(self):
        async def step(expand) -> int: ...
        async def many(review) -> int: ...

        assert refused(step).code == "ANNOTATION_MISSING"
        assert "returns Proposal: write `expand: Proposal`" in str(refused(step))
        assert "write `review: list[Review]`" in str(refused(many))

    def test_a_narrower_type_is_refused(self):
        async def step(expand: Other) -> int: ...

        assert refused(step).code == "TYPE_MISMATCH"


class TestInput:
    def test_the_first_taker_names_it(self):
        pipeline = Pipeline("p", input=Idea, output=int)

        async def step(thought: Idea) -> int: ...

        assert bound(step, pipeline).source is Source.INPUT
        assert pipeline.input_name == "thought"

    def test_later_steps_use_that_name(self):
        async def fine(idea: Idea) -> int: ...
        async def step(thought: Idea) -> int: ...

        assert bound(fine).source is Source.INPUT
        error = refused(step)
        assert error.code == "INPUT_NAME"
        assert "the job's input is called `idea`" in str(error)

    def test_a_typo_of_a_step_is_recognised_and_never_wired_to_the_input(self):
        pipeline = Pipeline("p", input=str, output=str)

        @pipeline.step
        async def draft(topic: str) -> str: ...

        async def step(drfat: str) -> str: ...

        error = refused(step, pipeline)
        assert error.code == "INPUT_NAME"
        assert "did you mean `draft`?" in str(error)

    def test_one_step_cannot_take_it_twice(self):
        async def step(one: Idea, two: Idea) -> int: ...

        error = refused(step, Pipeline("p", input=Idea, output=int))
        assert error.code == "INPUT_NAME"
        assert "called `one`" in str(error)

    def test_another_type_is_refused(self):
        async def step(idea: int) -> int: ...

        assert refused(step).code == "TYPE_MISMATCH"
        error = refused(step, Pipeline("p", input=Idea, output=int))
        assert error.code == "TYPE_MISMATCH"
        assert "write `idea: Idea`" in str(error)

    def test_a_step_must_not_bear_its_name(self):
        async def idea(expand: Proposal) -> int: ...
        async def step(idea: Idea) -> int: ...
        async def thought(thought: Idea) -> int: ...

        assert refused(idea).code == "STEP_IS_INPUT"
        assert refused(step, name="idea").code == "STEP_IS_INPUT"
        assert refused(thought, Pipeline("p", input=Idea, output=int)).code == "STEP_IS_INPUT"

    def test_an_unknown_parameter_is_told_all_that_is_accepted(self):
        async def step(reveiw: list[Review]) -> int: ...

        error = refused(step)
        assert error.code == "PARAMETER_UNKNOWN"
        text = str(error)
        assert "the steps `expand`, `review`, `titles`, `maybe`, the input `idea: Idea`" in text
        assert "Each(...), Signal(...), Use(...), StepContext or Transaction" in text
        assert "steps are declared above their use" in text
        assert "did you mean `review`?" in text

    def test_an_unknown_parameter_before_any_taker_is_told_the_same(self):
        pipeline = Pipeline("p", input=Idea, output=int)

        @pipeline.step
        async def numbers(n: int = Each([1])) -> int: ...

        async def step(numbes: list[int]) -> int: ...

        error = refused(step, pipeline)
        assert error.code == "PARAMETER_UNKNOWN"
        assert "did you mean `numbers`?" in str(error)


class TestUse:
    def test_the_factory_opens_the_client(self):
        async def step(llm: Model = Use(model)) -> int: ...

        assert bound(step) == Binding("llm", Source.CLIENT, factory=model)

    def test_a_context_manager_is_a_factory_too(self):
        @asynccontextmanager
        async def opened() -> Any:
            yield Model()

        async def step(llm: Model = Use(opened)) -> int: ...

        assert bound(step).factory is opened

    @pytest.mark.parametrize("factory", [Model(), lambda url: url, 3])
    def test_anything_else_is_refused(self, factory: Any):
        async def step(llm: Model = Use(factory)) -> int: ...

        assert refused(step).code == "USE_FACTORY"

    def test_it_needs_an_annotation(self):
        async def step(llm=Use(model)) -> int: ...

        assert refused(step).code == "ANNOTATION_MISSING"


class TestContexts:
    def test_the_annotation_asks_for_them_whatever_the_name(self):
        async def step(a: StepContext, b: Transaction) -> int: ...
        def plain(a: SyncContext) -> int: ...

        one, other = added(step), added(plain)
        assert [binding.source for binding in one.bindings] == [Source.CONTEXT, Source.TRANSACTION]
        assert [binding.source for binding in other.bindings] == [Source.CONTEXT]

    def test_each_kind_of_function_has_its_context(self):
        async def step(ctx: SyncContext) -> int: ...
        def plain(ctx: StepContext) -> int: ...

        assert refused(step).code == refused(plain).code == "CONTEXT_KIND"
        assert "write `ctx: StepContext`" in str(refused(step))
        assert "write `ctx: SyncContext`" in str(refused(plain))

    def test_they_are_never_optional(self):
        async def step(ctx: StepContext | None) -> int: ...
        async def other(tx: Transaction | None) -> int: ...

        assert refused(step).code == refused(other).code == "CONTEXT_KIND"
        assert "write `tx: Transaction`" in str(refused(other))

    def test_a_plain_function_has_no_transaction(self):
        def plain(tx: Transaction) -> int: ...

        assert refused(plain).code == "TRANSACTION_SYNC"


class TestNames:
    def test_a_name_is_taken_once(self):
        async def expand(idea: Idea) -> int: ...
        async def step(idea: Idea) -> int: ...

        assert refused(expand).code == "STEP_NAME_TAKEN"
        assert refused(step, name="review").code == "STEP_NAME_TAKEN"
        assert refused(step, was="review").code == "STEP_NAME_TAKEN"

    def test_an_earlier_name_of_another_step_is_taken_too(self):
        pipeline = consensus()

        @pipeline.step(was=("old", "older"))
        async def new(idea: Idea) -> int: ...

        async def older(idea: Idea) -> int: ...

        assert refused(older, pipeline).code == "STEP_NAME_TAKEN"

    def test_the_stored_name_is_what_later_steps_ask_for(self):
        pipeline = consensus()

        @pipeline.step(name="summary")
        async def summarise(idea: Idea) -> str: ...

        async def step(summary: str) -> int: ...

        assert bound(step, pipeline).step == "summary"


class TestAfter:
    def test_it_orders_without_data(self):
        pipeline = consensus()
        expand = pipeline.steps["expand"].function

        @pipeline.step(after=[expand])
        async def step(review: list[Review]) -> int: ...

        assert pipeline.steps["step"].needs == ("expand", "review")
        assert pipeline.dependents["review"] == ("step",)
        assert pipeline.dependents["expand"] == ("review", "titles", "maybe", "step")

    def test_a_function_that_is_no_earlier_step_is_refused(self):
        async def expnad(idea: Idea) -> int: ...
        async def step(idea: Idea) -> int: ...

        error = refused(step, after=[expnad])
        assert error.code == "AFTER_UNKNOWN"
        assert "did you mean `expand`?" in str(error)
