"""From the parameters of a function to its place in the graph: the rules of binding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, get_args, get_origin

from headrace.errors import ItemsError, OutputError
from headrace.model.annotations import (
    accepts_none,
    fit,
    or_none,
    plain,
    type_text,
    vagueness,
    without_none,
)
from headrace.model.codec import TypeNotStorableError, codec_for
from headrace.model.context import StepContext, SyncContext, Transaction
from headrace.model.definition import MISSING, did_you_mean
from headrace.model.items import EachBinding, fixed_items
from headrace.model.markers import EachSpec, UseSpec
from headrace.model.step import Binding, Source

if TYPE_CHECKING:
    from headrace.errors import DefinitionError
    from headrace.model.codec import Codec
    from headrace.model.definition import Declaration, Parameter, Site
    from headrace.model.step import Step

_CONTEXTS: Final = (StepContext, SyncContext)
_LISTS: Final = (list, tuple, Sequence)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a new step can ask for: the earlier steps, and the job's input.

    Attributes:
        steps: Earlier steps by name, in order.
        input_type: The type of the job's input.
        input_name: Its name; None until a step takes it.
    """

    steps: Mapping[str, Step]
    input_type: Any
    input_name: str | None

    def step_of(self, function: object) -> Step | None:
        """The latest step that is this function."""
        found = (step for step in reversed(self.steps.values()) if step.function is function)
        return next(found, None)


@dataclass(frozen=True, slots=True)
class Wiring:
    """How a function is connected to the steps before it."""

    bindings: tuple[Binding, ...]
    each: EachBinding | None
    input_name: str | None


def wire(declaration: Declaration, around: Surroundings) -> Wiring:
    """Find out how each parameter of a step is filled.

    Raises:
        DefinitionError: A parameter cannot be filled, or what would fill it does not fit.
    """
    wiring = Wiring((), None, around.input_name)
    for parameter in declaration.parameters:
        binder = _Binder(declaration, parameter, around, wiring)
        wiring = binder.bind()
    return wiring


def storable(annotation: Any, site: Site, what: str) -> Codec[Any]:  # noqa: ANN401 - any type
    """The codec of a type that is stored.

    Args:
        annotation: The type.
        site: For errors.
        what: What has the type, as "the output".

    Raises:
        DefinitionError: RETURN_VAGUE or TYPE_NOT_STORABLE.
    """
    vague = vagueness(annotation)
    if vague is not None:
        raise site.error("RETURN_VAGUE", f"{what}: {vague}; write the type in full")
    try:
        return codec_for(annotation)
    except TypeNotStorableError as error:
        raise site.error("TYPE_NOT_STORABLE", f"{what}: {error}") from error


@dataclass(frozen=True, slots=True)
class _Binder:
    """Binds one parameter; `wiring` is what the parameters before it came to."""

    declaration: Declaration
    parameter: Parameter
    around: Surroundings
    wiring: Wiring

    @property
    def name(self) -> str:
        return self.parameter.name

    @property
    def annotation(self) -> Any:  # noqa: ANN401 - annotations are any objects
        return self.parameter.annotation

    @property
    def written(self) -> str:
        """The parameter as it is written: `review: Review`."""
        return f"`{self.name}: {type_text(self.annotation)}`"

    def error(self, code: str, problem: str) -> DefinitionError:
        return self.declaration.site.error(code, problem)

    def bind(self) -> Wiring:
        spec = self.parameter.spec
        self._require_annotation(spec)
        if isinstance(spec, EachSpec):
            return self._bind_each(spec)
        if isinstance(spec, UseSpec):
            return self._bound(self._bind_use(spec))
        asked = plain(self.annotation)
        if asked in _CONTEXTS:
            return self._bound(self._bind_context(asked))
        if asked is Transaction:
            return self._bound(self._bind_transaction())
        step = self.around.steps.get(self.name)
        if step is not None:
            return self._bound(self._bind_output(step))
        return self._bind_input()

    def _bound(self, binding: Binding) -> Wiring:
        known = self.wiring
        return Wiring((*known.bindings, binding), known.each, known.input_name)

    # --- annotations --------------------------------------------------------------------------

    def _require_annotation(self, spec: EachSpec | UseSpec | None) -> None:
        if self.annotation is not MISSING:
            return
        hint = self._expected(spec)
        raise self.error("ANNOTATION_MISSING", f"`{self.name}` has no annotation; {hint}")

    def _expected(self, spec: EachSpec | UseSpec | None) -> str:
        if isinstance(spec, EachSpec):
            return f"write the type of an element: `{self.name}: ... = Each(...)`"
        if isinstance(spec, UseSpec):
            return f"write what the factory opens: `{self.name}: ... = Use(...)`"
        step = self.around.steps.get(self.name)
        if step is not None:
            returned = type_text(step.produces)
            return f"the step of that name returns {returned}: write `{self.name}: {returned}`"
        wanted = type_text(self.around.input_type)
        if self.wiring.input_name in {None, self.name}:
            return f"the job's input is {wanted}: write `{self.name}: {wanted}`"
        return self._accepted()

    # --- markers ------------------------------------------------------------------------------

    def _bind_each(self, spec: EachSpec) -> Wiring:
        known = self.wiring
        if known.each is not None:
            raise self.error(
                "EACH_TWICE",
                f"`{known.each.parameter}` and `{self.name}` are both Each(...); return a list of "
                "pairs from an earlier step, and use one Each on it",
            )
        each = self._fixed(spec) if isinstance(spec.source, tuple) else self._listed(spec)
        binding = Binding(self.name, Source.ITEM, codec=each.codec)
        return Wiring((*known.bindings, binding), each, known.input_name)

    def _fixed(self, spec: EachSpec) -> EachBinding:
        assert isinstance(spec.source, tuple)  # noqa: S101 - for the type checker
        codec = storable(self.annotation, self.declaration.site, f"the items of `{self.name}`")
        try:
            items = fixed_items(self.name, spec.source, codec, spec.key)
        except (ItemsError, OutputError) as error:
            raise self.error("EACH_ITEM", f"{self.written} = Each(...): {error}") from error
        return EachBinding(self.name, codec, items=items)

    def _listed(self, spec: EachSpec) -> EachBinding:
        step = self._list_source(spec.source)
        element = _element_of(step.produces)
        if element is None:
            raise self.error(
                "EACH_NOT_LIST",
                f"the step {step.name} returns {type_text(step.produces)}, and Each(...) needs a "
                "list: write `-> list[...]` there, and return an empty one for nothing",
            )
        arrived = fit(element, self.annotation)
        if arrived is None:
            raise self.error(
                "EACH_ITEM",
                f"{self.written} does not accept the elements of {step.name}, which are "
                f"{type_text(element)}: write `{self.name}: {type_text(element)}`",
            )
        codec = storable(arrived, self.declaration.site, f"the items of `{self.name}`")
        return EachBinding(self.name, codec, step.name, key_of=spec.key)

    def _list_source(self, source: object) -> Step:
        if not callable(source):
            raise self.error(
                "EACH_KIND",
                f"Each(...) of `{self.name}` got a {type(source).__name__}; it takes a list, a "
                "tuple, or an earlier step that returns one",
            )
        step = self.around.step_of(source)
        if step is None:
            name = getattr(source, "__name__", type(source).__name__)
            raise self.error(
                "EACH_UNKNOWN",
                f"Each({name}) of `{self.name}` is not an earlier step of this pipeline; "
                f"{_steps_text(self.around.steps)}{did_you_mean(name, self.around.steps)}",
            )
        if step.each is not None:
            raise self.error(
                "EACH_OF_EACH",
                f"the step {step.name} runs once per item itself; gather its outputs first, in a "
                f"step that takes `{step.name}: {type_text(step.produces)}` and returns a list",
            )
        return step

    def _bind_use(self, spec: UseSpec) -> Binding:
        if not callable(spec.factory):
            raise self.error(
                "USE_FACTORY",
                f"Use(...) of `{self.name}` got a {type(spec.factory).__name__}; it takes a "
                "function without arguments that opens the client",
            )
        return Binding(self.name, Source.CLIENT, factory=spec.factory)

    # --- contexts -----------------------------------------------------------------------------

    def _bind_context(self, asked: object) -> Binding:
        is_async = self.declaration.is_async
        wanted = "StepContext" if is_async else "SyncContext"
        if (asked is StepContext) != is_async:
            kind = "an async" if is_async else "a plain"
            raise self.error(
                "CONTEXT_KIND",
                f"{self.written} in {kind} function; write `{self.name}: {wanted}`",
            )
        return Binding(self.name, Source.CONTEXT)

    def _bind_transaction(self) -> Binding:
        if not self.declaration.is_async:
            raise self.error(
                "TRANSACTION_SYNC",
                f"{self.written} in a plain function; transactions need an async one, without "
                "runs_in=",
            )
        return Binding(self.name, Source.TRANSACTION)

    # --- data ---------------------------------------------------------------------------------

    def _bind_output(self, step: Step) -> Binding:
        arrived = fit(step.produces, self.annotation)
        if arrived is None:
            raise self._output_mismatch(step)
        source = Source.OUTPUT if step.each is None else Source.OUTPUTS
        return Binding(self.name, source, step.name, codec_for(arrived))

    def _output_mismatch(self, step: Step) -> DefinitionError:
        returned = step.output.annotation
        if step.each is not None:
            return self._fan_in_mismatch(step, returned)
        if step.may_skip and fit(without_none(returned), self.annotation) is not None:
            return self.error(
                "TYPE_OPTIONAL",
                f"the step {step.name} may return None or be skipped: write "
                f"`{self.name}: {or_none(self.annotation)}`",
            )
        return self.error(
            "TYPE_MISMATCH",
            f"{self.written} does not accept what the step {step.name} returns, "
            f"{type_text(returned)}: write `{self.name}: {type_text(returned)}`",
        )

    def _fan_in_mismatch(self, step: Step, returned: object) -> DefinitionError:
        needed = type_text(step.produces)
        element = _element_of(self.annotation)
        if element is None or fit(returned, self.annotation) is not None:
            return self.error(
                "FAN_IN_LIST",
                f"the step {step.name} runs once per item: write `{self.name}: {needed}`",
            )
        if step.may_skip and fit(without_none(returned), element) is not None:
            return self.error(
                "TYPE_OPTIONAL",
                f"an item of the step {step.name} may return None or be skipped: write "
                f"`{self.name}: {needed}`",
            )
        return self.error(
            "TYPE_MISMATCH",
            f"{self.written} does not accept the outputs of the step {step.name}: write "
            f"`{self.name}: {needed}`",
        )

    def _bind_input(self) -> Wiring:
        arrived = fit(self.around.input_type, self.annotation)
        known = self.wiring
        if known.input_name not in {None, self.name}:
            raise self._not_the_input(fits=arrived is not None)
        if arrived is None:
            raise self._input_mismatch()
        binding = Binding(self.name, Source.INPUT, codec=codec_for(arrived))
        return Wiring((*known.bindings, binding), known.each, self.name)

    def _not_the_input(self, *, fits: bool) -> DefinitionError:
        names = [*self.around.steps, str(self.wiring.input_name)]
        hint = did_you_mean(self.name, names)
        if fits:
            return self.error(
                "INPUT_NAME",
                f"`{self.name}` is no earlier step, and the job's input is called "
                f"`{self.wiring.input_name}` in this pipeline; use that name, or the name of the "
                f"step you meant{hint}",
            )
        return self.error(
            "PARAMETER_UNKNOWN", f"`{self.name}` is no earlier step; {self._accepted()}{hint}"
        )

    def _input_mismatch(self) -> DefinitionError:
        wanted = type_text(self.around.input_type)
        if self.wiring.input_name is None and self.around.steps:
            hint = did_you_mean(self.name, self.around.steps)
            return self.error(
                "PARAMETER_UNKNOWN", f"`{self.name}` is no earlier step; {self._accepted()}{hint}"
            )
        return self.error(
            "TYPE_MISMATCH",
            f"{self.written} does not accept the job's input, {wanted}: write "
            f"`{self.name}: {wanted}`",
        )

    def _accepted(self) -> str:
        name, wanted = self.wiring.input_name, type_text(self.around.input_type)
        the_input = f"the input `{name}: {wanted}`" if name else f"the input, any name for {wanted}"
        context = "StepContext" if self.declaration.is_async else "SyncContext"
        return (
            f"{_steps_text(self.around.steps)}, {the_input}, and parameters with Each(...), "
            f"Use(...), {context} or Transaction; steps are declared above their use"
        )


def _steps_text(steps: Mapping[str, Step]) -> str:
    names = ", ".join(f"`{name}`" for name in steps)
    return f"accepted here are the steps {names}" if names else "accepted here are no steps yet"


def _element_of(annotation: Any) -> Any:  # noqa: ANN401 - annotations are any objects
    """The type of the elements of a list; None where it is no list."""
    bare = plain(annotation)
    args = get_args(bare)
    if get_origin(bare) not in _LISTS or accepts_none(annotation):
        return None
    if get_origin(bare) is tuple:
        return args[0] if len(args) == 2 and args[1] is Ellipsis else None  # noqa: PLR2004
    return args[0]
