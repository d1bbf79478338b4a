"""One attempt in a step process, seen from the worker: the call, what it asks for, its outcome."""

from __future__ import annotations

import signal
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from headrace.errors import PipelineNotFoundError
from headrace.telemetry.events import emit
from headrace.telemetry.step_events import StepLeftovers
from headrace.worker.outcomes import Failed
from headrace.worker.processes.proxy import read_options
from headrace.worker.processes.raised import write_error
from headrace.worker.processes.system import MEMORY_EXIT, MEMORY_LIMIT
from headrace.worker.processes.wire import Frame, outcome_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.model.pipeline import Pipeline
    from headrace.model.step import Step
    from headrace.worker.attempt import Attempt
    from headrace.worker.context import AsyncContext
    from headrace.worker.outcomes import Outcome
    from headrace.worker.processes.nursery import Ending, StepProcess

PROCESS_DIED: Final = "PROCESS_DIED"
OF_MEMORY: Final = frozenset({-signal.SIGKILL, -signal.SIGABRT, -signal.SIGSEGV, -signal.SIGBUS})
"""How a process may end in which memory cannot be had."""
KIB_PER_MIB: Final = 1024


class Conversation:
    """Serves one attempt until its outcome."""

    def __init__(
        self,
        process: StepProcess,
        attempt: Attempt,
        context: AsyncContext,
        pipelines: Mapping[str, Pipeline[Any, Any]],
    ) -> None:
        process.calls += 1
        self._process, self._attempt, self._context = process, attempt, context
        self._pipelines, self._number = pipelines, process.calls
        self._begun: dict[str, float] = {}

    async def hold(self, texts: Mapping[str, str]) -> Outcome | None:
        """Let the process run the attempt.

        Args:
            texts: The stored form of each parameter that is data.

        Returns:
            The outcome; None where the process ended before there was one.
        """
        try:
            return await self._listen(texts)
        except (EOFError, OSError):
            return None

    async def _listen(self, texts: Mapping[str, str]) -> Outcome:
        # Nothing here waits until the process has read: it may be waiting until we read.
        process = self._process
        process.tell(self._call(texts))
        while (frame := await process.read()).what != "outcome":
            if frame.fields["call"] != self._number:
                if "number" in frame.fields:
                    process.tell(_raised(frame, RuntimeError("the step has ended")))
            elif frame.what == "progress":
                self._context.progress(*frame.fields["note"])
            elif frame.what == "log":
                write = getattr(self._context.log, frame.fields["level"])
                write(frame.fields["event"], **frame.fields["fields"])
            else:
                process.tell(await self._answer(frame))
        process.is_spent = frame.fields["is_spent"]
        if frame.fields["traces"] is not None:
            self._tell_of(frame.fields["traces"])
        return outcome_of(frame)

    def _call(self, texts: Mapping[str, str]) -> Frame:
        attempt, context = self._attempt, self._context
        pipeline = attempt.run.claim.pipeline
        facts = {
            "job_id": str(context.job_id),
            "run": context.run,
            "attempt": context.attempt,
            "failures": context.failures,
            "item": context.item,
            "tenant": context.tenant,
            "owner": context.owner,
            "preset": context.preset,
            "parameters": dict(context.parameters),
            "idempotency_key": context.idempotency_key,
            "remaining_s": context.remaining().total_seconds(),
        }
        fields = {
            "call": self._number,
            "pipeline": pipeline.name,
            "definition": pipeline.definition_hash,
            "step": attempt.step.name,
            "facts": facts,
            "parameters": list(texts),
        }
        return Frame("call", fields, tuple(texts.values()))

    async def _answer(self, frame: Frame) -> Frame:
        try:
            fields, texts = await self._do(frame)
        except Exception as error:  # noqa: BLE001 - it is raised again, where it was asked for
            return _raised(frame, error)
        return Frame("reply", {"number": frame.fields["number"], **fields}, texts)

    async def _do(self, frame: Frame) -> tuple[dict[str, Any], tuple[str, ...]]:
        fields, context, attempt = frame.fields, self._context, self._attempt
        if frame.what == "annotate":
            attempt.annotate(fields["metadata"])
            return {}, ()
        if frame.what == "submit":
            return {"job": await self._submit(fields, frame.texts[0])}, ()
        name = fields["name"]
        if frame.what == "send":
            return {"stands": await self._send(name, frame.texts[0])}, ()
        if frame.what == "signal_url":
            return {"url": context.signal_url(name, **read_options(fields["options"]))}, ()
        if frame.what == "recall":
            self._begun[name] = monotonic()
            text = await context.recall(name)
            return {}, () if text is None else (text,)
        (text,) = frame.texts
        await context.keep(name, text, self._begun[name])
        attempt.run.keep_record((attempt.step.name, attempt.item, name), text)
        return {}, ()

    async def _submit(self, fields: Mapping[str, Any], text: str) -> str:
        name = fields["pipeline"]
        if name not in self._pipelines:
            raise PipelineNotFoundError(name, tuple(self._pipelines))
        pipeline = self._pipelines[name]
        options = read_options(fields["options"])
        value = pipeline.input.decode(text)
        handle = await self._context.submit(pipeline, value, key=fields["key"], **options)
        return handle.id

    async def _send(self, name: str, text: str) -> bool:
        signal = self._attempt.run.claim.pipeline.signals[name]  # the process has looked it up
        return await self._context.send(name, signal.codec.decode(text))

    def _tell_of(self, traces: Mapping[str, int]) -> None:
        attempt, claim = self._attempt, self._attempt.run.claim
        emit(
            StepLeftovers(
                job_id=claim.job,
                run=claim.run,
                pipeline=claim.pipeline.name,
                step=attempt.step.name,
                item=attempt.item or None,
                attempt=attempt.number,
                threads=traces["threads"],
                processes=traces["processes"],
            )
        )


def _raised(frame: Frame, error: Exception) -> Frame:
    return Frame("raised", {"number": frame.fields["number"], "error": write_error(error)})


def death_of(step: Step, ending: Ending) -> Failed:
    """The failure of an attempt whose process ended under it."""
    text = f"the process of step {step.name} {_how(ending)}"
    if step.memory is not None:
        was_full = ending.code in OF_MEMORY and ending.peak * 2 >= step.memory * KIB_PER_MIB
        if was_full or ending.code == MEMORY_EXIT:
            return Failed("unknown", MEMORY_LIMIT, f"{text}, near its limit of {step.memory:,} MiB")
        text += f"; its memory limit is {step.memory:,} MiB"
    elif ending.code == -signal.SIGKILL:
        text += ", as the kernel does where memory is short"
    return Failed("unknown", PROCESS_DIED, text)


def _how(ending: Ending) -> str:
    if ending.code is None:
        return "was lost"
    if ending.code >= 0:
        return f"ended with exit code {ending.code} before the step had returned"
    try:
        name = signal.Signals(-ending.code).name
    except ValueError:  # a real-time signal
        name = f"signal {-ending.code}"
    return f"was killed by {name}"
