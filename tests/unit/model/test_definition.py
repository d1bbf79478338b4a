"""What the decorator refuses about a function itself, whatever the pipeline holds."""

# ruff: noqa: ANN001, ANN002, ANN003, ANN202, ANN401 - missing and odd annotations are what is tested

import functools
import re
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from headrace import DefinitionError, Pipeline, Retry, StepContext, Transaction

if TYPE_CHECKING:
    from collections import OrderedDict

T = TypeVar("T")


def pipeline() -> Pipeline[int, int]:
    return Pipeline("numbers", input=int, output=int)


def refused(function: object, **options: Any) -> DefinitionError:
    """The error of making a function a step; the pipeline must stay as it was."""
    numbers = pipeline()
    with pytest.raises(DefinitionError) as caught:
        (numbers.step(**options) if options else numbers.step)(function)  # type: ignore[call-overload]
    assert numbers.steps == {}
    assert numbers.input_name is None
    return caught.value


async def good(n: int) -> int: ...


def plain(n: int) -> int: ...


class TestText:
    def test_it_begins_with_the_place_and_ends_with_the_code(self):
        async def decide(n) -> int: ...

        error = refused(decide)
        line = decide.__code__.co_firstlineno
        place = r"numbers\.decide\(\) at tests/unit/model/test_definition\.py"
        assert re.fullmatch(rf"{place}:{line}: .* \[ANNOTATION_MISSING\]", str(error))
        assert error.code == "ANNOTATION_MISSING"

    def test_a_decorated_function_is_found_where_it_is_written(self):
        def decorator(function: Callable[..., Any]) -> Callable[..., Any]:
            @functools.wraps(function)
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                return function(*args, **kwargs)

            return wrapper

        @decorator
        async def decide(n) -> int: ...

        line = decide.__wrapped__.__code__.co_firstlineno
        assert f"numbers.decide() at tests/unit/model/test_definition.py:{line}: " in str(
            refused(decide)
        )

    def test_what_is_no_function_is_found_where_it_is_decorated(self):
        error = refused(int)
        assert "numbers.int() at tests/unit/model/test_definition.py:" in str(error)


class TestKind:
    def test_a_class_a_lambda_and_a_partial_are_refused(self):
        assert refused(int).code == "STEP_KIND"
        assert refused(lambda: 1).code == "STEP_KIND"
        assert refused(functools.partial(good, 1)).code == "STEP_KIND"
        assert refused(len).code == "STEP_KIND"

    def test_a_generator_is_told_to_return_a_list(self):
        def numbers() -> Iterator[int]:
            yield 1

        async def later() -> AsyncIterator[int]:
            yield 1

        for function in (numbers, later):
            assert refused(function).code == "STEP_KIND"
            assert "return a list" in str(refused(function))

    def test_a_method_is_told_about_use(self):
        class Model:
            async def ask(self, n: int) -> int: ...

            @staticmethod
            async def static(n: int) -> int: ...

        for method in (Model.ask, Model().ask, Model.__dict__["static"], Model.static):
            assert refused(method).code == "STEP_METHOD"
            assert "Use(...)" in str(refused(method))

    def test_a_method_is_refused_in_its_class_too(self):
        numbers = pipeline()
        with pytest.raises(DefinitionError, match="STEP_METHOD"):

            class Model:
                @numbers.step
                async def ask(self, n: int) -> int: ...

    def test_a_wrapper_with_functools_wraps_is_fine(self):
        def twice(function: Callable[..., Any]) -> Callable[..., Any]:
            @functools.wraps(function)
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                return function(*args, **kwargs)

            return wrapper

        numbers = pipeline()
        numbers.step(twice(good))
        numbers.step(twice(plain))
        assert numbers.steps["good"].is_async
        assert not numbers.steps["plain"].is_async


class TestAnnotations:
    def test_a_missing_return_annotation_is_asked_for(self):
        async def step(n: int): ...

        error = refused(step)
        assert error.code == "RETURN_MISSING"
        assert "write `-> None` if nothing is stored" in str(error)

    def test_a_wrapper_without_wraps_is_told_about_it(self):
        def wrapper(*args, **kwargs): ...

        assert refused(wrapper).code == "RETURN_MISSING"
        assert "functools.wraps" in str(refused(wrapper))

    def test_a_name_under_type_checking_is_told_where_to_go(self):
        async def step(n: "OrderedDict[str, int]") -> int: ...

        error = refused(step)
        assert error.code == "ANNOTATION_UNKNOWN"
        assert "`OrderedDict` in `n`, 'OrderedDict[str, int]', is not known at run time" in str(
            error
        )
        assert "TYPE_CHECKING" in str(error)

    def test_a_misspelt_name_is_recognised(self):
        async def step(n: int) -> "Transactoin": ...  # type: ignore[name-defined]  # noqa: F821

        assert "did you mean `Transaction`?" in str(refused(step))
        assert Transaction is not None

    @pytest.mark.parametrize("text", ["int |", "re.Nothing", "'x' | None"])
    def test_an_annotation_that_cannot_be_read_is_refused(self, text: str):
        async def step(n: int) -> int: ...

        step.__annotations__["n"] = text
        assert refused(step).code == "ANNOTATION_UNKNOWN"

    @pytest.mark.parametrize(
        "annotation",
        [Any, object, Any | None, list, dict, tuple, set, list[list], T, list[T]],  # type: ignore[valid-type]
    )
    def test_a_vague_return_annotation_is_refused(self, annotation: Any):
        async def step(n: int) -> int: ...

        step.__annotations__["return"] = annotation
        assert refused(step).code == "RETURN_VAGUE"

    def test_a_class_as_a_value_is_refused(self):
        async def step(n: int) -> list[type[int]]: ...

        assert refused(step).code == "TYPE_NOT_STORABLE"

    def test_any_inside_a_container_is_plain_json(self):
        numbers = pipeline()

        @numbers.step
        async def step(n: int) -> dict[str, Any]: ...

        assert numbers.steps["step"].output.encode({"a": [1]}) == '{"a":[1]}'

    def test_a_type_without_json_is_told_what_to_return(self):
        async def step(n: int) -> re.Pattern[str] | Callable[[], int]: ...

        error = refused(step)
        assert error.code == "TYPE_NOT_STORABLE"
        assert "return the parts you need" in str(error)


class TestParameters:
    def test_stars_are_refused(self):
        async def args(*numbers: int) -> int: ...
        async def kwargs(**numbers: int) -> int: ...

        assert refused(args).code == refused(kwargs).code == "PARAMETER_STAR"
        assert "`*numbers`" in str(refused(args))
        assert "`**numbers`" in str(refused(kwargs))

    def test_positional_only_is_refused_and_keyword_only_is_fine(self):
        async def positional(n: int, /) -> int: ...
        async def keyword(*, n: int) -> int: ...

        assert refused(positional).code == "PARAMETER_STAR"
        assert pipeline().step(keyword) is keyword

    def test_a_plain_default_is_refused(self):
        async def step(n: int, reveiw: int | None = None) -> int: ...

        error = refused(step)
        assert error.code == "PARAMETER_DEFAULT"
        assert "`reveiw` has a plain default" in str(error)


class TestOptions:
    @pytest.mark.parametrize(
        "options",
        [
            {"name": "not a name"},
            {"name": "x" * 101},
            {"name": 3},
            {"was": ["good", "a-b"]},
            {"was": "plain"},
            {"was": ("old", "old")},
            {"after": good},
            {"timeout": 0},
            {"timeout": 1_801},
            {"timeout": "1 min"},
            {"retry": 3},
            {"parallel": 0},
            {"parallel": 1_001},
            {"parallel": True},
            {"runs_in": "fiber"},
            {"memory": 100},
            {"resumable": 1},
            {"resumable": True},  # without a context it stores nothing
        ],
    )
    def test_an_option_out_of_range_is_refused_by_name(self, options: dict[str, Any]):
        error = refused(plain, **options)
        assert error.code == "STEP_OPTION"
        assert next(iter(options)) in error.problem

    def test_options_are_keywords(self):
        with pytest.raises(DefinitionError, match=r"options are keywords: .*\[STEP_OPTION\]"):
            pipeline().step("name")  # type: ignore[call-overload]

    def test_an_unknown_option_is_recognised(self):
        with pytest.raises(DefinitionError, match="did you mean `timeout`") as caught:
            pipeline().step(time_out=3)  # type: ignore[call-overload]
        assert "numbers.step() at tests/unit/model/test_definition.py:" in str(caught.value)

    def test_an_async_function_runs_in_nothing_else(self):
        assert refused(good, runs_in="process").code == "RUNS_IN_ASYNC"
        assert refused(good, runs_in="thread").code == "RUNS_IN_ASYNC"

    def test_a_process_needs_a_function_that_it_can_import(self):
        def inner(n: int) -> int: ...

        assert refused(inner, runs_in="process").code == "STEP_OPTION"

    def test_what_is_given_is_kept(self):
        numbers = pipeline()
        retry = Retry(attempts=2)
        numbers.step(
            name="stored",
            was="older",
            timeout=timedelta(minutes=1),
            retry=retry,
            parallel=3,
            runs_in="process",
            memory=512,
        )(plain)
        step = numbers.steps["stored"]
        assert (step.name, step.was, step.retry, step.parallel) == ("stored", ("older",), retry, 3)
        assert (step.timeout, step.runs_in, step.memory) == (timedelta(seconds=60), "process", 512)

    def test_a_step_with_a_context_may_be_resumable(self):
        numbers = pipeline()

        @numbers.step(resumable=True)
        async def halves(n: int, context: StepContext) -> int: ...

        numbers.step(plain)
        assert numbers.steps["halves"].resumable
        assert not numbers.steps["plain"].resumable

    def test_a_plain_function_runs_in_a_thread(self):
        numbers = pipeline()
        numbers.step(plain)
        numbers.step(good)
        assert numbers.steps["plain"].runs_in == "thread"
        assert numbers.steps["good"].runs_in is None
