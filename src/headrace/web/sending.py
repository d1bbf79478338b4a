"""Values that come by HTTP for signals: read by the type of the signal, and stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.client.strict import NotStrictError
from headrace.errors import CodecError, InputError, SignalNotFoundError
from headrace.model.fate import Fate
from headrace.web.problems import Detail, ProblemError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from headrace.app import Headrace
    from headrace.errors import Problem
    from headrace.model.awaited import AwaitedSignal
    from headrace.model.pipeline import Pipeline

REFUSALS = {
    Fate.OTHER: "SIGNAL_TAKEN",
    Fate.LATE: "SIGNAL_EXPIRED",
    Fate.ENDED: "JOB_FINISHED",
    Fate.MISSING: "NOT_FOUND",
}


def signal_of(pipeline: Pipeline[Any, Any], name: str) -> AwaitedSignal:
    """A signal of a pipeline.

    Raises:
        SignalNotFoundError: No step takes it.
    """
    signal = pipeline.signals.get(name)
    if signal is None:
        raise SignalNotFoundError(name, tuple(pipeline.signals))
    return signal


async def send_text(
    app: Headrace, job: UUID, signal: AwaitedSignal, text: str, *, actor: str
) -> Fate:
    """Send a JSON text as the value of a signal.

    Returns:
        `STORED`, or `SAME` where it stood already.

    Raises:
        ProblemError: `SIGNAL_TAKEN`, `SIGNAL_EXPIRED` or `JOB_FINISHED`: it does not stand.
        CodecError: It is no value of the signal.
        InputError: It cannot be stored.
    """
    fate = await app.send_signal(job, signal.name, signal.codec.decode(text), actor=actor)
    if not fate.stands:
        raise ProblemError(REFUSALS[fate])
    return fate


def misfit(name: str, error: CodecError | InputError | NotStrictError) -> ProblemError:
    """The problem of a value that does not fit its signal."""
    problems: Sequence[Problem] = () if isinstance(error, NotStrictError) else error.problems
    places = [Detail(path, message) for path, message in problems] or [Detail("$", str(error))]
    detail = f"the value does not fit the signal {name}"
    return ProblemError("SCHEMA_VALIDATION_ERROR", detail, errors=places)
