"""How parameters are filled, and what the decorator says when nothing fits."""

# ruff: noqa: ANN001, ANN401 - missing and odd annotations are what is tested

from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NewType

import pytest

from headrace import (
    DefinitionError,
    Each,
    Pipeline,
    StepContext,
    SyncContext,
    Transaction,
    Use,
)
from headrace.model.step import Binding, Source, Step


@dataclass
class Idea:
    text: str


@dataclass
class Proposal:
    title: str


@dataclass
class BetterProposal(Proposal):
    score: int = 0


@dataclass
class Review:
    agrees: bool


@dataclass
class Persona:
    name: str


class Model:
    async def ask(self) -> str: ...


async def model() -> Model: ...


Other = NewType("Other", Proposal)
PERSONAS = [Persona("critic"), Persona("fan")]
MIXED: Any = [Persona("a"), Idea("b")]


def consensus() -> Pipeline[Idea, Proposal]:
    """A pipeline with an expansion, a fan-out over it, a list and an optional output."""
    pipeline = Pipeline("consensus", input=Idea, output=Proposal)

    @pipeline.step
    async def expand(idea: Idea) -> Proposal: ...

    @pipeline.step
    async def review(expand: Proposal, persona: Persona = Each(PERSONAS)) -> Review: ...

    @pipeline.step
    async def titles(expand: Proposal) -> list[str]: ...

    @pipeline.step
    async def maybe(expand: Proposal) -> Proposal | None: ...

    return pipeline


def added(function: Callable[..., Any], pipeline: Pipeline[Any, Any] | None = None) -> Step:
    pipeline = pipeline or consensus()
    assert pipeline.step(function) is function
    return pipeline.steps[function.__name__]


def bound(function: Callable[..., Any], pipeline: Pipeline[Any, Any] | None = None) -> Binding:
    return added(function, pipeline).bindings[0]


def refused(
    function: Callable[..., Any], pipeline: Pipeline[Any, Any] | None = None, **options: Any
) -> DefinitionError:
    pipeline = pipeline or consensus()
    before = dict(pipeline.steps), pipeline.input_name, dict(pipeline.dependents)
    with pytest.raises(DefinitionError) as caught:
        pipeline.step(**options)(function)
    assert (pipeline.steps, pipeline.input_name, pipeline.dependents) == before
    assert str(caught.value).endswith(f" [{caught.value.code}]")
    return caught.value


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


class TestFanIn:
    def test_the_outputs_arrive_as_one_list(self):
        async def step(review: list[Review]) -> int: ...

        binding = bound(step)
        assert (binding.source, binding.step) == (Source.OUTPUTS, "review")
        assert binding.codec is not None
        assert binding.codec.decode('[{"agrees":true}]') == [Review(agrees=True)]

    @pytest.mark.parametrize("annotation", [Review, Review | None, int, dict[str, Review]])
    def test_anything_but_a_list_is_refused(self, annotation: Any):
        async def step(review: annotation) -> int: ...

        error = refused(step)
        assert error.code == "FAN_IN_LIST"
        assert "runs once per item: write `review: list[Review]`" in str(error)
        assert "ItemResult" not in str(error)

    def test_a_list_of_another_type_is_a_mismatch(self):
        async def step(review: list[str]) -> int: ...

        assert refused(step).code == "TYPE_MISMATCH"

    def test_items_that_may_be_none_need_an_optional_element(self):
        pipeline = consensus()

        @pipeline.step
        async def judge(n: int = Each([1, 2])) -> Review | None: ...

        async def step(judge: list[Review]) -> int: ...

        error = refused(step, pipeline)
        assert error.code == "TYPE_OPTIONAL"
        assert "write `judge: list[Review | None]`" in str(error)


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
        assert "Each(...), Use(...), StepContext or Transaction" in text
        assert "steps are declared above their use" in text
        assert "did you mean `review`?" in text
        assert "Signal" not in text

    def test_an_unknown_parameter_before_any_taker_is_told_the_same(self):
        pipeline = Pipeline("p", input=Idea, output=int)

        @pipeline.step
        async def numbers(n: int = Each([1])) -> int: ...

        async def step(numbes: list[int]) -> int: ...

        error = refused(step, pipeline)
        assert error.code == "PARAMETER_UNKNOWN"
        assert "did you mean `numbers`?" in str(error)


class TestEachFixed:
    def test_items_are_keyed_by_content_or_by_key(self):
        async def by_content(p: Persona = Each(PERSONAS)) -> int: ...
        async def by_key(p: Persona = Each(PERSONAS, key=lambda p: p.name)) -> int: ...

        each, keyed = added(by_content).each, added(by_key).each
        assert each is not None
        assert keyed is not None
        assert [value for _, value in each.plan(None)] == ['{"name":"critic"}', '{"name":"fan"}']
        assert [key for key, _ in keyed.plan(None)] == ["critic", "fan"]

    def test_an_empty_sequence_is_fine(self):
        async def step(n: int = Each(())) -> int: ...

        each = added(step).each
        assert each is not None
        assert each.plan(None) == []

    def test_an_element_of_another_type_is_refused_by_its_place(self):
        async def step(p: Persona = Each(MIXED)) -> int: ...

        error = refused(step)
        assert error.code == "EACH_ITEM"
        assert "element 1" in str(error)

    def test_two_elements_of_one_key_are_refused(self):
        async def step(n: int = Each([1, 2, 1])) -> int: ...

        error = refused(step)
        assert error.code == "EACH_ITEM"
        assert "elements 0 and 2 have the same key" in str(error)

    @pytest.mark.parametrize("source", ["abc", {1, 2}, {"a": 1}, range(3), iter([1]), 3])
    def test_only_lists_and_tuples_are_taken(self, source: Any):
        async def step(n: int = Each(source)) -> int: ...

        assert refused(step).code == "EACH_KIND"

    def test_two_of_them_are_refused(self):
        async def step(n: int = Each([1]), p: Persona = Each(PERSONAS)) -> int: ...

        error = refused(step)
        assert error.code == "EACH_TWICE"
        assert "list of pairs" in str(error)

    def test_it_needs_an_annotation(self):
        async def step(n=Each([1])) -> int: ...

        assert refused(step).code == "ANNOTATION_MISSING"


class TestEachOfAStep:
    def pipeline(self) -> tuple[Pipeline[Idea, int], dict[str, Callable[..., Any]]]:
        pipeline = Pipeline("p", input=Idea, output=int)

        @pipeline.step
        async def titles(idea: Idea) -> list[str]: ...

        @pipeline.step
        async def pairs(idea: Idea) -> tuple[int, ...]: ...

        @pipeline.step
        async def title(idea: Idea) -> str: ...

        @pipeline.step
        async def perhaps(idea: Idea) -> list[str] | None: ...

        @pipeline.step
        async def length(t: str = Each(titles)) -> int: ...

        return pipeline, {name: step.function for name, step in pipeline.steps.items()}

    def test_the_elements_are_the_items(self):
        pipeline, functions = self.pipeline()

        async def step(t: str = Each(functions["titles"], key=str.upper)) -> int: ...

        added_step = added(step, pipeline)
        assert added_step.needs == ("titles",)
        assert added_step.each is not None
        assert added_step.each.source_step == "titles"
        assert added_step.each.plan('["a","b"]') == [("A", '"a"'), ("B", '"b"')]
        assert added_step.bindings[0].source is Source.ITEM

    def test_elements_of_a_tuple_arrive_as_what_is_asked_for(self):
        pipeline, functions = self.pipeline()

        async def step(n: float = Each(functions["pairs"])) -> int: ...

        codec = bound(step, pipeline).codec
        assert codec is not None
        assert type(codec.decode("3")) is float

    def test_another_element_type_is_refused(self):
        pipeline, functions = self.pipeline()

        async def step(n: int = Each(functions["titles"])) -> int: ...

        error = refused(step, pipeline)
        assert error.code == "EACH_ITEM"
        assert "write `n: str`" in str(error)

    @pytest.mark.parametrize("name", ["title", "perhaps"])
    def test_a_step_without_a_list_is_refused(self, name: str):
        pipeline, functions = self.pipeline()

        async def step(n: str = Each(functions[name])) -> int: ...

        error = refused(step, pipeline)
        assert error.code == "EACH_NOT_LIST"
        assert "write `-> list[...]`" in str(error)

    def test_a_step_with_items_of_its_own_is_gathered_first(self):
        pipeline, functions = self.pipeline()

        async def step(n: int = Each(functions["length"])) -> int: ...

        error = refused(step, pipeline)
        assert error.code == "EACH_OF_EACH"
        assert "`length: list[int]`" in str(error)

    def test_a_function_that_is_no_step_is_refused(self):
        async def titels() -> list[str]: ...
        async def step(n: str = Each(titels)) -> int: ...

        error = refused(step)
        assert error.code == "EACH_UNKNOWN"
        assert "did you mean `titles`?" in str(error)


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
        assert (one.takes_context, one.takes_transaction) == (True, True)
        assert (other.takes_context, other.takes_transaction) == (True, False)

    def test_each_kind_of_function_has_its_context(self):
        async def step(ctx: SyncContext) -> int: ...
        def plain(ctx: StepContext) -> int: ...

        assert refused(step).code == refused(plain).code == "CONTEXT_KIND"
        assert "write `ctx: StepContext`" in str(refused(step))
        assert "write `ctx: SyncContext`" in str(refused(plain))

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
