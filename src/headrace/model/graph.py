"""From the parameters of a function to its place in the graph: the rules of binding."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from headrace.model.annotations import Annotation, accepts_none, plain, type_text, without_none
from headrace.model.awaited import bind_signal
from headrace.model.context import StepContext, SyncContext, Transaction
from headrace.model.data import bind_input, bind_output
from headrace.model.definition import MISSING
from headrace.model.fan_out import bind_each
from headrace.model.items import EachBinding
from headrace.model.markers import EachSpec, SignalSpec, UseSpec
from headrace.model.slot import Slot, Surroundings
from headrace.model.step import Binding, Source

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.model.awaited import AwaitedSignal
    from headrace.model.definition import Declaration

ASKED_BY_TYPE: Final = (StepContext, SyncContext, Transaction)


@dataclass(frozen=True, slots=True)
class Wiring:
    """How a function is connected to the steps before it."""

    bindings: tuple[Binding, ...] = ()
    each: EachBinding | None = None
    input_name: str | None = None
    signals: tuple[AwaitedSignal, ...] = ()


def wire(declaration: Declaration, around: Surroundings) -> Wiring:
    """Find out how each parameter of a step is filled.

    Raises:
        DefinitionError: A parameter cannot be filled, or what would fill it does not fit.
    """
    bindings: list[Binding] = []
    each: EachBinding | None = None
    signals: list[AwaitedSignal] = []
    for parameter in declaration.parameters:
        slot = Slot(declaration, parameter, around)
        if isinstance(parameter.spec, SignalSpec) and parameter.annotation is not MISSING:
            binding, signal = bind_signal(slot, parameter.spec)
            signals.append(signal)
        else:
            binding, found = _bind(slot, each)
            each = found or each
        bindings.append(binding)
        if binding.source is Source.INPUT:
            around = replace(around, input_name=parameter.name)
    return Wiring(tuple(bindings), each, around.input_name, tuple(signals))


def _bind(slot: Slot, each: EachBinding | None) -> tuple[Binding, EachBinding | None]:
    spec = slot.parameter.spec
    if slot.annotation is MISSING:
        raise slot.error(
            "ANNOTATION_MISSING", f"`{slot.name}` has no annotation; {_expected(slot)}"
        )
    if isinstance(spec, EachSpec):
        found = bind_each(slot, spec, each)
        return Binding(slot.name, Source.ITEM, codec=found.codec), found
    if isinstance(spec, UseSpec):
        return _bind_client(slot, spec), None
    asked = plain(without_none(slot.annotation))
    if asked in ASKED_BY_TYPE:
        return _bind_asked(slot, asked), None
    step = slot.around.steps.get(slot.name)
    return (bind_input(slot) if step is None else bind_output(slot, step)), None


def _expected(slot: Slot) -> str:
    """What to write, where a parameter has no annotation."""
    if isinstance(slot.parameter.spec, EachSpec):
        return f"write the type of an element: `{slot.name}: ... = Each(...)`"
    if isinstance(slot.parameter.spec, UseSpec):
        return f"write the type of the client: `{slot.name}: ... = Use(...)`"
    if isinstance(slot.parameter.spec, SignalSpec):
        return f"write the type of the value: `{slot.name}: ... = Signal(...)`"
    step = slot.around.steps.get(slot.name)
    if step is not None:
        returned = type_text(step.produces)
        return f"the step of that name returns {returned}: write `{slot.name}: {returned}`"
    wanted = type_text(slot.around.input_type)
    if slot.around.input_name in {None, slot.name}:
        return f"the job's input is {wanted}: write `{slot.name}: {wanted}`"
    return slot.accepted()


def _bind_client(slot: Slot, spec: UseSpec) -> Binding:
    factory: object = spec.factory  # which the type checker of a user may not have seen
    if not callable(factory) or _takes_arguments(factory):
        raise slot.error(
            "USE_FACTORY",
            f"Use(...) of `{slot.name}` got {factory!r}; it takes a function without "
            "arguments that opens the client",
        )
    return Binding(slot.name, Source.CLIENT, factory=factory)


def _takes_arguments(factory: Callable[..., object]) -> bool:
    try:
        inspect.signature(factory).bind()
    except TypeError:
        return True
    except ValueError:  # a builtin that does not tell its signature
        return False
    return False


def _bind_asked(slot: Slot, asked: Annotation) -> Binding:
    """A parameter whose annotation alone says what it gets."""
    if accepts_none(slot.annotation):
        raise slot.error(
            "CONTEXT_KIND",
            f"{slot.written} is never None; write `{slot.name}: {type_text(asked)}`",
        )
    is_async = slot.declaration.is_async
    if asked is Transaction and not is_async:
        raise slot.error(
            "TRANSACTION_SYNC",
            f"{slot.written} in a plain function; a transaction needs an async one, without "
            "runs_in=",
        )
    if asked is (SyncContext if is_async else StepContext):
        kind, wanted = ("an async", "StepContext") if is_async else ("a plain", "SyncContext")
        raise slot.error(
            "CONTEXT_KIND", f"{slot.written} in {kind} function; write `{slot.name}: {wanted}`"
        )
    return Binding(slot.name, Source.TRANSACTION if asked is Transaction else Source.CONTEXT)
