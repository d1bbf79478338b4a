"""Steps that run once per item, and steps that take all their outputs."""

# ruff: noqa: ANN001, ANN401 - missing and odd annotations are what is tested

from collections.abc import Callable
from typing import Any

import pytest

from headrace import Each, ItemError, ItemResult, Pipeline
from headrace.errors import ItemsError
from headrace.model.hashing import definition_hash
from headrace.model.item_result import result_text
from headrace.model.step import Source
from tests.unit.model.consensus import (
    MIXED,
    PERSONAS,
    Idea,
    Persona,
    Review,
    added,
    bound,
    consensus,
    refused,
)


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


class TestFanInOfItemsThatMayFail:
    def results(self) -> Pipeline[Any, Any]:
        pipeline = consensus()

        @pipeline.step
        async def judge(p: Persona = Each(PERSONAS, at_least=1)) -> Review: ...

        return pipeline

    def test_what_became_of_each_arrives_as_one_list(self):
        async def step(judge: list[ItemResult[Review]]) -> int: ...

        binding = bound(step, self.results())
        assert (binding.source, binding.step) == (Source.OUTPUTS, "judge")
        assert binding.codec is not None
        error = '{"code":"ValueError","kind":"unknown","message":"no","cause":"attempts_exhausted"}'
        texts = (
            result_text("a", '{"agrees":true}', failed=False),
            result_text("b", error, failed=True),
        )
        first, second = binding.codec.decode(f"[{','.join(texts)}]")
        assert first == ItemResult("a", Review(agrees=True))
        assert second == ItemResult("b", error=ItemError("ValueError", "unknown", "no"))
        assert [first.ok, second.ok] == [True, False]

    @pytest.mark.parametrize(
        "annotation", [list[Review], Review, list[Review | None], ItemResult[Review]]
    )
    def test_anything_but_a_list_of_results_is_refused(self, annotation: Any):
        async def step(judge: annotation) -> int: ...

        error = refused(step, self.results())
        assert error.code == "FAN_IN_LIST"
        assert "items may fail: write `judge: list[ItemResult[Review]]`" in str(error)

    def test_results_of_another_type_are_a_mismatch(self):
        async def step(judge: list[ItemResult[str]]) -> int: ...

        error = refused(step, self.results())
        assert error.code == "TYPE_MISMATCH"
        assert "write `judge: list[ItemResult[Review]]`" in str(error)

    def test_items_that_may_be_none_need_an_optional_output(self):
        pipeline = consensus()

        @pipeline.step
        async def judge(n: int = Each([1, 2], at_least=0)) -> Review | None: ...

        async def step(judge: list[ItemResult[Review]]) -> int: ...

        error = refused(step, pipeline)
        assert error.code == "TYPE_OPTIONAL"
        assert "write `judge: list[ItemResult[Review | None]]`" in str(error)

    def test_results_where_all_items_have_to_succeed_are_refused(self):
        async def step(review: list[ItemResult[Review]]) -> int: ...

        error = refused(step)
        assert error.code == "FAN_IN_LIST"
        assert "write `review: list[Review]`, or let items fail with at_least=" in str(error)

    def test_the_list_may_be_the_result_of_the_pipeline(self):
        pipeline = Pipeline("results", input=int, output=list[ItemResult[int]])

        @pipeline.step
        async def double(n: int = Each([1, 2], at_least=1)) -> int: ...

        assert pipeline.result_step == "double"
        assert pipeline.result.decode('[{"key":"a","output":1}]') == [ItemResult("a", 1)]


class TestAtLeast:
    @pytest.mark.parametrize("at_least", [0, 1, 2])
    def test_it_may_be_as_many_as_a_fixed_sequence_has(self, at_least: int):
        async def step(p: Persona = Each(PERSONAS, at_least=at_least)) -> int: ...

        each = added(step).each
        assert each is not None
        assert (each.at_least, each.needed(2)) == (at_least, at_least)

    @pytest.mark.parametrize("at_least", [-1, 3, 1.0, True, "1"])
    def test_any_other_number_is_refused(self, at_least: Any):
        async def step(p: Persona = Each(PERSONAS, at_least=at_least)) -> int: ...

        error = refused(step)
        assert error.code == "EACH_AT_LEAST"
        assert f"at_least={at_least!r}" in str(error)
        assert "from 0 to 2, as many as the sequence has" in str(error)

    @pytest.mark.parametrize(("at_least", "fits"), [(10_000, True), (10_001, False)])
    def test_of_a_steps_list_it_is_at_most_what_can_run(self, at_least: int, *, fits: bool):
        pipeline = Pipeline("lists", input=int, output=int)

        @pipeline.step
        async def numbers(count: int) -> list[int]: ...

        async def step(n: int = Each(numbers, at_least=at_least)) -> int: ...

        if fits:
            each = added(step, pipeline).each
            assert each is not None
            assert each.at_least == at_least
        else:
            assert refused(step, pipeline).code == "EACH_AT_LEAST"

    def test_without_it_all_items_are_needed(self):
        async def step(p: Persona = Each(PERSONAS)) -> int: ...

        each = added(step).each
        assert each is not None
        assert each.needed(7) == 7

    def test_a_list_that_is_shorter_is_refused_before_anything_runs(self):
        pipeline = Pipeline("lists", input=int, output=int)

        @pipeline.step
        async def numbers(count: int) -> list[int]: ...

        async def step(n: int = Each(numbers, at_least=3)) -> int: ...

        each = added(step, pipeline).each
        assert each is not None
        assert len(each.plan("[1,2,3]")) == 3
        with pytest.raises(ItemsError, match="2 items; at least 3 have to succeed"):
            each.plan("[1,2]")

    def test_the_definition_is_another_one_with_it_but_not_with_another_number(self):
        hashes = []
        for at_least in (None, 1, 2):
            pipeline = Pipeline("results", input=int, output=int)

            @pipeline.step
            async def judge(p: Persona = Each(PERSONAS, at_least=at_least)) -> int: ...

            hashes.append(definition_hash(pipeline))
        assert hashes[0] != hashes[1] == hashes[2]


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
