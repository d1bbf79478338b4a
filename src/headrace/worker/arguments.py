"""What a step is called with: each parameter filled as its binding says."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from typing import TYPE_CHECKING, Any

from headrace.errors import CodecError, HeadraceError
from headrace.model.item_result import result_text
from headrace.model.step import Source
from headrace.worker.context import AsyncContext, BlockingContext, StepTransaction
from headrace.worker.stored import NULL, Artifact

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from headrace.model.step import Binding
    from headrace.worker.attempt import Attempt
    from headrace.worker.engine import Engine
    from headrace.worker.run import JobRun
    from headrace.worker.stored import Output


class UnreadableError(HeadraceError):
    """A stored output does not fit the type that this code asks for."""

    code = "checkpoint_unreadable"

    def __init__(self, step: str, parameter: str, problem: str) -> None:
        super().__init__(step, parameter, problem)
        self.step, self.parameter, self.problem = step, parameter, problem

    def __str__(self) -> str:
        return f"step {self.step}, parameter {self.parameter}: {self.problem}"


async def fill(attempt: Attempt, engine: Engine) -> dict[str, Any]:
    """The arguments of an attempt, each decoded anew from its stored form.

    Raises:
        UnreadableError: A stored value is not what the step's annotation says.
        Exception: Whatever a client's factory raised.
    """
    arguments: dict[str, Any] = {}
    for binding in attempt.step.bindings:
        source = binding.source
        if source is Source.CLIENT:
            value = await engine.clients.get(binding.factory)  # type: ignore[arg-type]
        elif source is Source.SIGNAL:
            text = _signal(attempt.run, binding)
            value = None if text is None else decode(binding, text, attempt)
        elif source is Source.CONTEXT:
            value = _context(attempt, engine)
        elif source is Source.TRANSACTION:
            value = attempt.transaction = StepTransaction(attempt, engine)
        else:
            value = decode(binding, await _stored(attempt, binding, engine), attempt)
        arguments[binding.parameter] = value
    return arguments


def fill_plain(attempt: Attempt) -> dict[str, Any] | None:
    """As `fill`, at once, for a step that asks for nothing but small data; None for others.

    Most steps are like that, and a coroutine less is a tenth of the engine's cost of a step.
    """
    arguments: dict[str, Any] = {}
    run = attempt.run
    for binding in attempt.step.bindings:
        source = binding.source
        if source is Source.INPUT:
            text: Any = run.claim.input
        elif source is Source.OUTPUT:
            text = run.outputs[binding.step]  # type: ignore[index]
        elif source is Source.ITEM:
            text = run.fans[attempt.step.name].values[attempt.item]
        else:
            return None
        if type(text) is not str:
            return None
        arguments[binding.parameter] = decode(binding, text, attempt)
    return arguments


def decode(binding: Binding, text: str, attempt: Attempt) -> Any:  # noqa: ANN401 - a user's value
    """A stored text as the step's annotation wants it."""
    try:
        return binding.codec.decode(text)  # type: ignore[union-attr]
    except CodecError as error:
        raise UnreadableError(attempt.step.name, binding.parameter, str(error)) from error


async def fill_texts(attempt: Attempt, engine: Engine) -> dict[str, str]:
    """The stored form of each parameter that is data, for a step that runs in another process."""
    return {
        binding.parameter: await _stored(attempt, binding, engine)
        for binding in attempt.step.bindings
        if binding.codec is not None
    }


async def _stored(attempt: Attempt, binding: Binding, engine: Engine) -> str:
    """The stored form of what a parameter takes."""
    run = attempt.run
    if binding.source is Source.INPUT:
        return run.claim.input
    if binding.source is Source.SIGNAL:
        return _signal(run, binding) or NULL
    if binding.source is Source.ITEM:
        return run.fans[attempt.step.name].values[attempt.item]
    name = binding.step or ""
    if binding.source is Source.OUTPUT:
        return await _text(run.outputs[name], engine)
    if binding.source is Source.ITEM_OUTPUT:
        return await _text(run.fans[name].outputs[attempt.item], engine)
    return await _gathered(run, name, engine)


def _signal(run: JobRun, binding: Binding) -> str | None:
    """What was sent; None where it did not come in time."""
    return run.holding().signals[binding.parameter]


async def _gathered(run: JobRun, name: str, engine: Engine) -> str:
    """The outputs of a fan-out as one list, in item order."""
    fan = run.fans[name]
    each = run.pipeline.steps[name].each
    texts = [
        fan.errors[key] if key in fan.errors else await _text(fan.outputs[key], engine)
        for key in fan.values
    ]
    if each is not None and each.at_least is not None:
        texts = [
            result_text(key, text, failed=key in fan.errors)
            for key, text in zip(fan.values, texts, strict=True)
        ]
    return "[" + ",".join(texts) + "]"


async def _text(output: Output, engine: Engine) -> str:
    if isinstance(output, Artifact):
        return await engine.artifacts.read(output.text)
    return output


async def source_text(run: JobRun, step: str | None, engine: Engine) -> str | None:
    """The stored list that a fan-out takes its items from; None for a fixed sequence."""
    return None if step is None else await _text(run.outputs[step], engine)


def _context(attempt: Attempt, engine: Engine) -> AsyncContext | BlockingContext:
    context = AsyncContext(attempt, engine)
    return context if attempt.step.is_async else BlockingContext(context, engine.loop)


class Clients:
    """What `Use` opens: one of each factory in a worker, opened at its first use."""

    def __init__(self) -> None:
        self._open: dict[Callable[[], object], Any] = {}
        self._locks: dict[Callable[[], object], asyncio.Lock] = {}
        self._exits = contextlib.AsyncExitStack()

    async def get(self, factory: Callable[[], object]) -> Any:  # noqa: ANN401 - a user's client
        """The client of a factory."""
        if factory in self._open:
            return self._open[factory]
        async with self._locks.setdefault(factory, asyncio.Lock()):
            if factory not in self._open:
                self._open[factory] = await self._enter(factory)
        return self._open[factory]

    async def close(self) -> None:
        """Close every client, the newest first."""
        await self._exits.aclose()
        self._open.clear()

    async def _enter(self, factory: Callable[[], object]) -> object:
        made = factory()
        if inspect.isawaitable(made):
            made = await made
        if hasattr(made, "__aenter__") and hasattr(made, "__aexit__"):
            return await self._exits.enter_async_context(made)
        if hasattr(made, "__enter__") and hasattr(made, "__exit__"):
            return self._exits.enter_context(made)
        self._close_later(made)
        return made

    def _close_later(self, made: object) -> None:
        close: Callable[[], Awaitable[None] | None] | None = getattr(
            made, "aclose", None
        ) or getattr(made, "close", None)
        if close is None:
            return

        async def end() -> None:
            closed = close()
            if inspect.isawaitable(closed):
                await closed

        self._exits.push_async_callback(end)
