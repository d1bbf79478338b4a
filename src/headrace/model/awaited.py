"""What a step may wait for besides its inputs: signals, a delay, and the end of a child job."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, get_args

from headrace.model.annotations import (
    NONE,
    Annotation,
    accepts_none,
    members,
    origin_of,
    type_text,
    union_of,
    without_none,
)
from headrace.model.codec import Codec, codec_for
from headrace.model.duration import to_timedelta
from headrace.model.step import Binding, Source
from headrace.model.storable import storable

if TYPE_CHECKING:
    from headrace.model.markers import SignalSpec
    from headrace.model.site import Site
    from headrace.model.slot import Slot

LEAST_WAIT_S: Final = 0.001
MOST_WAIT: Final = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class AwaitedSignal:
    """A value that is sent to a job.

    Attributes:
        name: That of the parameters that take it.
        codec: Reads and checks what is sent; never None.
        timeout: How long a step waits for it, from the moment its other inputs are there.
        may_lack: Whether steps go on with None where it did not come in time.
    """

    name: str
    codec: Codec[Any]
    timeout: timedelta
    may_lack: bool


def bind_signal(slot: Slot, spec: SignalSpec) -> tuple[Binding, AwaitedSignal]:
    """Fill the parameter with what is sent to the job under its name.

    Raises:
        DefinitionError: SIGNAL_TIMEOUT, SIGNAL_NAME, SIGNAL_DIFFERS, RETURN_VAGUE or
            TYPE_NOT_STORABLE.
    """
    _refuse_name(slot)
    try:
        most_s = MOST_WAIT.total_seconds()
        timeout = to_timedelta(spec.timeout, "timeout", least=LEAST_WAIT_S, most=most_s)
    except ValueError as error:
        raise slot.error("SIGNAL_TIMEOUT", f"Signal(...) of `{slot.name}`: {error}") from None
    may_lack = accepts_none(slot.annotation)
    wanted = without_none(slot.annotation) if may_lack else slot.annotation
    if wanted in {None, NONE}:
        raise slot.error(
            "TYPE_NOT_STORABLE", f"{slot.written}: nothing but None; write the type of the value"
        )
    codec = storable(wanted, slot.declaration.site, f"the signal `{slot.name}`")
    signal = AwaitedSignal(slot.name, codec, timeout, may_lack)
    known = slot.around.signals.get(slot.name)
    if known is not None and (known.codec.annotation, known.timeout) != (
        codec.annotation,
        timeout,
    ):
        raise slot.error(
            "SIGNAL_DIFFERS",
            f"an earlier step takes the signal `{slot.name}` as "
            f"{type_text(known.codec.annotation)} with a timeout of {known.timeout}: the first "
            "value stands for all steps, so write the same, or give this one another name",
        )
    whole = codec_for(_or_none(wanted)) if may_lack else codec
    return Binding(slot.name, Source.SIGNAL, codec=whole), signal


def _refuse_name(slot: Slot) -> None:
    taken = {old for step in slot.around.steps.values() for old in (step.name, *step.was)}
    if slot.name in taken or slot.name == slot.around.input_name:
        what = "a step" if slot.name in taken else "the job's input"
        raise slot.error(
            "SIGNAL_NAME", f"`{slot.name}` is the name of {what}, too; give the signal another one"
        )


def _or_none(annotation: Annotation) -> Annotation:
    return union_of([annotation, NONE])


def child_result(returns: Annotation, site: Site) -> Annotation | None:
    """The type of a child's result, for a step that returns a child; None for other steps.

    Raises:
        DefinitionError: CHILD_TYPE, for a handle without its type, or beside other types.
    """
    parts = members(returns)
    handles = [part for part in parts if is_handle(origin_of(part) or part)]
    if not handles:
        return None
    others = [part for part in parts if part not in {*handles, None, NONE}]
    if len(handles) > 1 or others:
        raise site.error(
            "CHILD_TYPE",
            f"-> {type_text(returns)}: a step ends with one child job, or without any: write "
            "`JobHandle[T]` or `JobHandle[T] | None`",
        )
    arguments = get_args(handles[0])
    if not arguments:
        raise site.error(
            "CHILD_TYPE", "-> JobHandle: write the type of the child's result, JobHandle[T]"
        )
    return _or_none(arguments[0]) if len(parts) > 1 else arguments[0]


def is_handle(kind: object) -> bool:
    """Whether a class is that of handles of jobs, which this room does not know."""
    return getattr(kind, "is_job_handle", False) is True
