# ruff: noqa: ANN202, ANN401 - missing and odd annotations are what is tested

import subprocess
import sys
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

import pytest
from pydantic import Field

from headrace import DefinitionError, Each, Pipeline, Retry
from headrace.model.hashing import shape_of


@dataclass
class Order:
    """An order."""

    number: int


@dataclass
class Receipt:
    total: float


@dataclass
class LongReceipt(Receipt):
    lines: list[str]


class TestConstruction:
    @pytest.mark.parametrize(
        "options",
        [
            {"version": "1.0"},
            {"version": "01.0.0"},
            {"version": None},
            {"queue": ""},
            {"queue": "a queue"},
            {"retry": 3},
            {"timeout": 0},
            {"timeout": 7_201},
            {"presets": {"a b": {}}},
            {"presets": {"fast": {"when": object()}}},
            {"presets": {"fast": 3}},
        ],
    )
    def test_a_value_out_of_range_is_refused_at_its_place(self, options: dict[str, Any]):
        with pytest.raises(DefinitionError) as caught:
            Pipeline("orders", input=Order, output=Receipt, **options)
        text = str(caught.value)
        assert text.startswith("Pipeline('orders') at tests/unit/model/test_pipeline.py:")
        assert text.endswith("[PIPELINE_OPTION]")
        assert next(iter(options)).removesuffix("s") in text

    @pytest.mark.parametrize("name", ["", "1st", "a b", "x" * 101, None])
    def test_a_name_is_short_and_plain(self, name: Any):
        with pytest.raises(DefinitionError, match="PIPELINE_OPTION"):
            Pipeline(name, input=Order, output=Receipt)

    @pytest.mark.parametrize("annotation", [Any, list, object()])
    def test_a_type_that_cannot_be_stored_is_refused(self, annotation: Any):
        with pytest.raises(DefinitionError, match=r"the input.*(RETURN_VAGUE|TYPE_NOT_STORABLE)"):
            Pipeline("orders", input=annotation, output=Receipt)
        with pytest.raises(DefinitionError, match=r"the output"):
            Pipeline("orders", input=Order, output=annotation)

    def test_unions_and_annotated_types_are_fine(self):
        orders = Pipeline("orders", input=Annotated[int, Field(gt=0)], output=Receipt | None)
        assert orders.input.encode(3) == "3"
        assert orders.output.accepts_none

    def test_versions_compare_as_numbers(self):
        versions = [
            Pipeline("orders", input=Order, output=Receipt, version=version).version_key
            for version in ("1.9.0", "1.10.0", "2.0.0")
        ]
        assert versions == sorted(versions)

    def test_presets_are_copied_and_closed(self):
        given: dict[str, dict[str, Any]] = {"fast": {"model": "small"}}
        orders = Pipeline("orders", input=Order, output=Receipt, presets=given)
        given["fast"]["model"] = "large"
        assert orders.presets["fast"]["model"] == "small"
        with pytest.raises(TypeError):
            orders.presets["slow"] = {}  # type: ignore[index]

    def test_its_retry_is_that_of_steps_without_one(self):
        orders = Pipeline("orders", input=Order, output=Receipt, retry=Retry.fast, timeout=60)

        @orders.step
        async def bill(order: Order) -> Receipt: ...

        @orders.step(retry=Retry.patient)
        async def send(bill: Receipt) -> None: ...

        assert orders.steps["bill"].retry is Retry.fast
        assert orders.steps["send"].retry is Retry.patient
        assert orders.timeout == timedelta(minutes=1)


class TestSharing:
    def test_a_function_is_a_step_of_several_pipelines(self):
        one = Pipeline("one", input=Order, output=Receipt)
        two = Pipeline("two", input=Order, output=Receipt)

        @one.step
        @two.step
        async def bill(order: Order) -> Receipt:
            return Receipt(order.number * 2.5)

        assert one.steps["bill"].function is two.steps["bill"].function is bill

    async def test_a_step_is_called_like_any_function(self):
        orders = Pipeline("orders", input=Order, output=Receipt)

        @orders.step(timeout=10)
        async def bill(order: Order, rate: float = Each([1.0, 2.0])) -> Receipt:
            return Receipt(order.number * rate)

        assert await bill(Order(2), 3.0) == Receipt(6.0)


class TestResult:
    def test_it_is_the_last_step_that_returns_the_output_type(self):
        orders = Pipeline("orders", input=Order, output=Receipt)

        @orders.step
        async def bill(order: Order) -> Receipt: ...

        @orders.step
        async def check(bill: Receipt) -> Receipt: ...

        @orders.step
        async def send(check: Receipt) -> None: ...

        orders.check()
        assert orders.result_step == "check"

    def test_a_subclass_comes_back_whole(self):
        orders = Pipeline("orders", input=Order, output=Receipt)

        @orders.step
        async def bill(order: Order) -> LongReceipt: ...

        stored = orders.steps["bill"].output.encode(LongReceipt(1.0, ["a"]))
        assert orders.result.decode(stored) == LongReceipt(1.0, ["a"])

    def test_a_step_with_items_returns_a_list(self):
        orders = Pipeline("orders", input=Order, output=list[Receipt])

        @orders.step
        async def bill(order: Order, n: int = Each([1, 2])) -> Receipt: ...

        assert orders.result.decode('[{"total":1.5}]') == [Receipt(1.5)]

    def test_an_optional_output_is_not_the_output_type(self):
        orders = Pipeline("orders", input=Order, output=Receipt)

        @orders.step
        async def bill(order: Order) -> Receipt | None: ...

        with pytest.raises(DefinitionError, match=r"bill -> Receipt \| None \[OUTPUT_MISSING\]"):
            orders.check()

    def test_an_empty_pipeline_is_refused(self):
        orders = Pipeline("orders", input=Order, output=Receipt)
        for use in (orders.check, lambda: orders.result_step, lambda: orders.result):
            with pytest.raises(DefinitionError, match="PIPELINE_EMPTY"):
                use()


def small(version: str = "1.0.0", output: Any = float, **options: Any) -> Pipeline[Any, Any]:
    orders = Pipeline("orders", input=Order, output=output, version=version)

    async def bill(order: Order): ...

    bill.__annotations__["return"] = output
    orders.step(**options)(bill)
    return orders


class TestHash:
    def test_limits_and_versions_do_not_change_it(self):
        assert small().definition_hash == small("2.0.0", timeout=5).definition_hash

    def test_names_and_types_change_it(self):
        hashes = {
            pipeline.definition_hash for pipeline in (small(), small(name="b"), small(output=int))
        }
        assert len(hashes) == 3

    def test_a_new_step_changes_it(self):
        orders = small()
        before = orders.definition_hash

        @orders.step
        async def send(bill: float) -> None: ...

        assert orders.definition_hash != before

    def test_texts_of_a_schema_are_left_out_but_not_fields_of_that_name(self):
        schema = {
            "title": "Order",
            "description": "An order.",
            "properties": {"title": {"type": "string", "title": "Title"}},
        }
        assert shape_of(schema) == {"properties": {"title": {"type": "string"}}}


class TestImport:
    def test_importing_headrace_loads_nothing_heavy(self):
        code = (
            "import sys, headrace; "
            "print(*sorted({'pydantic', 'asyncpg', 'structlog', 'orjson'} & set(sys.modules)))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        assert done.stdout.strip() == b""

    def test_every_public_name_is_listed_and_known(self):
        import headrace  # noqa: PLC0415 - what is tested is the module itself

        assert set(headrace.__all__) <= set(dir(headrace))
        with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
            headrace.Nothing  # noqa: B018
