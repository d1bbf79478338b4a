"""A step as the executor reads it: everything is worked out when it is defined."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any

from headrace.model.annotations import Annotation
from headrace.model.codec import Codec
from headrace.model.items import EachBinding
from headrace.model.options import RunsIn
from headrace.model.retry import Retry

if TYPE_CHECKING:
    from headrace.model.awaited import AwaitedSignal


class Source(Enum):
    """Where the value of a parameter comes from."""

    INPUT = "input"
    """The job's input."""
    OUTPUT = "output"
    """The stored output of an earlier step."""
    OUTPUTS = "outputs"
    """The stored outputs of an earlier step that runs once per item, as one list in item order."""
    ITEM = "item"
    """The item of this execution."""
    ITEM_OUTPUT = "item_output"
    """In an undo step: what the step that it undoes returned for the item."""
    CLIENT = "client"
    """What `factory` opens, once a worker."""
    CONTEXT = "context"
    """A `StepContext`, or a `SyncContext` in a plain function."""
    SIGNAL = "signal"
    """What was sent to the job under the parameter's name; None where nothing came in time."""
    TRANSACTION = "transaction"
    """A `Transaction`."""


@dataclass(frozen=True, slots=True)
class Binding:
    """How one parameter of a step is filled.

    Attributes:
        parameter: Its name; the engine passes it by keyword.
        source: Where the value comes from.
        step: The earlier step, for `OUTPUT`, `OUTPUTS` and `ITEM_OUTPUT`.
        codec: Reads the stored value, for `INPUT`, `OUTPUT`, `OUTPUTS`, `ITEM` and `SIGNAL`. For
            `OUTPUTS` it reads the whole list.
        factory: Opens the client, for `CLIENT`; the same factory is the same client.
    """

    parameter: str
    source: Source
    step: str | None = None
    codec: Codec[Any] | None = None
    factory: Callable[[], object] | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a pipeline.

    Attributes:
        name: The address under which its output is stored.
        was: Earlier names, newest first; outputs stored under them are found.
        position: Its place in the pipeline, from 0.
        function: What the engine calls, every parameter by keyword.
        is_async: Whether the function is awaited; else it runs in a thread or a process.
        runs_in: Where a plain function runs; None for an async one.
        memory: MiB that a process may use; None for no limit.
        resumable: Whether it stores what it did as it goes, so that it may be cut off and go on
            later.
        bindings: How its parameters are filled, in their order.
        output: Writes and reads its output; of one item, where it runs once per item.
        may_skip: Whether its output may be None, so that it may be skipped.
        needs: The steps that it waits for, for data or by `after=`, in their order.
        each: How it gets its items; None for a step that runs once.
        retry: How often it is tried.
        timeout: The limit of one try; None for the worker's default.
        parallel: The most items of one job that run at the same time.
        produces: The type that later steps see: a list, where it runs once per item.
        signals: What must have been sent to the job before it starts.
        delay: How long after its inputs are there it starts; None for at once.
        has_child: Whether it returns a child job, whose result is its output.
        undo: The step of an undo job that takes back what this one did.
        undoes: Of such a step: the name of the one that it undoes.
    """

    name: str
    was: tuple[str, ...]
    position: int
    function: Callable[..., Any]
    is_async: bool
    runs_in: RunsIn | None
    memory: int | None
    resumable: bool
    bindings: tuple[Binding, ...]
    output: Codec[Any]
    may_skip: bool
    needs: tuple[str, ...]
    each: EachBinding | None
    retry: Retry
    timeout: timedelta | None
    parallel: int
    produces: Annotation
    signals: tuple[AwaitedSignal, ...] = ()
    delay: timedelta | None = None
    has_child: bool = False
    undo: Step | None = None
    undoes: str | None = None

    @property
    def is_held(self) -> bool:
        """Whether it waits for more than its inputs."""
        return bool(self.signals) or self.delay is not None
