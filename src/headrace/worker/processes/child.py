"""A step process: runs one attempt after another in its main thread."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from headrace.errors import CodecError
from headrace.model.step import Source
from headrace.reliability.surroundings import PLACE
from headrace.worker.arguments import Clients, UnreadableError
from headrace.worker.outcomes import Done, Failed, Parked, read_error
from headrace.worker.place import ProcessPlace
from headrace.worker.processes.link import Link
from headrace.worker.processes.proxy import ProcessContext
from headrace.worker.processes.system import (
    MEMORY_LIMIT,
    MIB,
    Traces,
    data_bytes,
    limited_memory,
)
from headrace.worker.processes.wire import Frame, frame_of

if TYPE_CHECKING:
    import socket

    from headrace.model.step import Binding, Step
    from headrace.worker.outcomes import Outcome
    from headrace.worker.processes.catalogue import Catalogue

GROWTH_MOST: Final = 256 * MIB
"""A process that has grown by more is replaced: the next step's limit counts from where it is."""


@dataclass(slots=True)
class _Call:
    """An attempt as it came over the line."""

    step: Step
    context: ProcessContext
    texts: dict[str, str]


class Child:
    """The life of a step process, from its fork to its end."""

    def __init__(self, line: socket.socket, catalogue: Catalogue) -> None:
        self._link, self._catalogue = Link(line), catalogue
        self._clients = Clients()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._first_bytes = 0

    def serve(self) -> None:
        """Run what the worker sends, until it says stop."""
        faulthandler.enable()
        PLACE.set(ProcessPlace())
        try:
            self._catalogue.load()
        except BaseException as error:  # noqa: BLE001 - a module may raise anything
            text = "".join(traceback.format_exception(error))
            why = f"{type(error).__name__}: {error}"
            self._link.send(Frame("broken", {"broken": why, "detail": text}))
            return
        self._first_bytes = data_bytes()
        self._link.start()
        self._link.send(Frame("ready"))
        while (frame := self._link.calls.get()).what == "call":
            self._run(frame)
        self._close()

    def _run(self, frame: Frame) -> None:
        before = Traces.now()
        outcome, has_clients = self._perform(frame)
        left = Traces.now().since(before)
        # With clients they may be theirs, which live on; a step without any leaves nothing.
        traces = None
        if not has_clients and (left.threads or left.processes):
            traces = {"threads": len(left.threads), "processes": len(left.processes)}
        is_spent = (
            traces is not None
            or (isinstance(outcome, Failed) and outcome.code == MEMORY_LIMIT)
            or data_bytes() - self._first_bytes > GROWTH_MOST
        )
        self._answer(outcome, traces=traces, is_spent=is_spent)

    def _answer(self, outcome: Outcome, **more: object) -> None:
        try:
            self._link.send(frame_of(outcome, **more))
        except Exception as error:  # noqa: BLE001 - too large: nothing was sent
            failed = Failed("permanent", "OUTPUT_TOO_LARGE", str(error), retried=False)
            self._link.send(frame_of(failed, **more))

    def _perform(self, frame: Frame) -> tuple[Outcome, bool]:
        """The outcome of one attempt, and whether it has used clients."""
        step: Step | None = None
        has_clients = False
        try:
            call = self._read(frame)
            step = call.step
            has_clients = any(binding.source is Source.CLIENT for binding in step.bindings)
            arguments = {
                binding.parameter: self._fill_own(binding, call)
                for binding in step.bindings
                if binding.source in {Source.CLIENT, Source.CONTEXT}
            }
            with limited_memory(step.memory):
                return Done(_call(call, arguments)), has_clients
        except UnreadableError as error:
            return Parked(str(error)), has_clients
        except BaseException as error:  # noqa: BLE001 - a step may raise anything, even SystemExit
            return _failure(error, step), has_clients

    def _read(self, frame: Frame) -> _Call:
        fields = frame.fields
        step = self._catalogue.find(fields["pipeline"], fields["step"], fields["definition"])
        context = ProcessContext(
            self._link,
            fields["call"],
            step.name,
            fields["facts"],
            pipeline=self._catalogue.pipelines[fields["pipeline"]],
        )
        texts = dict(zip(fields["parameters"], frame.texts, strict=True))
        return _Call(step, context, texts)

    def _fill_own(self, binding: Binding, call: _Call) -> Any:  # noqa: ANN401 - a user's client
        if binding.source is Source.CONTEXT:
            return call.context
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        factory = binding.factory
        assert factory is not None  # noqa: S101 - for the type checker
        return self._loop.run_until_complete(self._clients.get(factory))

    def _close(self) -> None:
        if self._loop is not None:
            with contextlib.suppress(Exception):  # the end of a client that is given up anyway
                self._loop.run_until_complete(self._clients.close())
            self._loop.close()


def _call(call: _Call, arguments: dict[str, Any]) -> str:
    """Call the step's function; its output in its stored form."""
    step = call.step
    for binding in step.bindings:
        text = call.texts.get(binding.parameter)
        if text is not None:
            arguments[binding.parameter] = _decode(binding, text, step)
    return step.output.encode(step.function(**arguments))


def _decode(binding: Binding, text: str, step: Step) -> Any:  # noqa: ANN401 - a user's value
    try:
        return binding.codec.decode(text)  # type: ignore[union-attr]
    except CodecError as error:
        raise UnreadableError(step.name, binding.parameter, str(error)) from error


def _failure(error: BaseException, step: Step | None) -> Outcome:
    if step is None:
        detail = "".join(traceback.format_exception(error))
        return Failed("unknown", getattr(error, "code", "PROCESS_START"), str(error), detail)
    if isinstance(error, MemoryError) and step.memory is not None:
        detail = "".join(traceback.format_exception(error))
        return Failed("unknown", MEMORY_LIMIT, memory_text(step), detail)
    try:
        return read_error(error, step)
    except Exception:  # noqa: BLE001 - its text cannot be made
        return Failed("unknown", type(error).__name__, "the exception has no text")


def memory_text(step: Step) -> str:
    """What is said of a step that has passed its memory limit."""
    return f"step {step.name} needed more memory than its {step.memory:,} MiB"
