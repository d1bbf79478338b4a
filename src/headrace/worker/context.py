"""What a step's context does: facts of its job, and what it may ask of the engine."""

from __future__ import annotations

import asyncio
import inspect
import uuid
from time import monotonic
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from headrace.client.sending import tell_of_signal
from headrace.errors import DefinitionError, LeaseLostError
from headrace.model.fate import Fate
from headrace.reliability.idempotent import Idempotent
from headrace.store.entries import RecordRow
from headrace.store.failures import is_unavailable
from headrace.worker.children import check_options, priority_for, submit_child
from headrace.worker.idempotent import BlockingIdempotent, StepCarrier
from headrace.worker.locking import step_lock, thread_lock
from headrace.worker.outcomes import fit_text
from headrace.worker.records import read_function, refuse_transaction
from headrace.worker.run import Stop
from headrace.worker.threads import call_in_thread
from headrace.worker.transaction import StepTransaction, insert_record, was_stored

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import timedelta
    from uuid import UUID

    from headrace.client import JobHandle
    from headrace.model.codec import Codec
    from headrace.model.context import JsonValue, StepLog
    from headrace.model.pipeline import Pipeline
    from headrace.reliability.lock_blocks import LockBlock, SyncLockBlock
    from headrace.worker.attempt import Attempt
    from headrace.worker.engine import Engine
    from headrace.worker.run import RecordKey

COUNT_MOST: Final = 2**63
"""What a column of type bigint holds."""

__all__ = ["AsyncContext", "BlockingContext", "StepTransaction"]


class Facts:
    """What is fixed for one execution of a step."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt

    @property
    def job_id(self) -> UUID:
        """The job."""
        return self._attempt.run.claim.job

    @property
    def run(self) -> int:
        """The run of the job, from 1."""
        return self._attempt.run.claim.run

    @property
    def attempt(self) -> int:
        """Which try this is, from 1."""
        return self._attempt.number

    @property
    def failures(self) -> int:
        """How many tries failed in a row before this one."""
        tally = self._attempt.run.tallies.get(self._attempt.key)
        return 0 if tally is None else tally.failures

    @property
    def item(self) -> str | None:
        """The key of the item; None in a step that runs once."""
        return self._attempt.item or None

    @property
    def tenant(self) -> str:
        """The customer."""
        return self._attempt.run.claim.tenant

    @property
    def owner(self) -> str:
        """The user."""
        return self._attempt.run.claim.owner

    @property
    def preset(self) -> str | None:
        """The preset that was asked for."""
        return self._attempt.run.claim.preset

    @property
    def parameters(self) -> Mapping[str, JsonValue]:
        """The preset's parameters under those of the job."""
        claim = self._attempt.run.claim
        preset = claim.pipeline.presets.get(claim.preset, {}) if claim.preset else {}
        return MappingProxyType({**preset, **(claim.parameters or {})})

    @property
    def idempotency_key(self) -> str:
        """The same in every try of this job, run, step and item."""
        attempt, claim = self._attempt, self._attempt.run.claim
        # An undo job only goes on: what its first run may have done is not done again by another.
        run = claim.run if attempt.run.undoing is None else 1
        return str(
            uuid.uuid5(uuid.UUID(str(claim.job)), f"{run}/{attempt.step.name}/{attempt.item}")
        )

    @property
    def log(self) -> StepLog:
        """A logger that knows the job."""
        from headrace.telemetry.logs import step_log  # noqa: PLC0415 - structlog, only when used

        claim, attempt = self._attempt.run.claim, self._attempt
        return step_log(
            job_id=str(claim.job),
            run=claim.run,
            pipeline=claim.pipeline.name,
            step=attempt.step.name,
            item=attempt.item or None,
            attempt=attempt.number,
        )

    @property
    def cancelled(self) -> bool:
        """Whether the step should stop."""
        attempt = self._attempt
        return attempt.cause is not None or attempt.refused

    def remaining(self) -> timedelta:
        """The time until the step is stopped."""
        return self._attempt.remaining()

    def annotate(self, **metadata: JsonValue) -> None:
        """Say something of this execution that is stored beside the step's output."""
        self._attempt.annotate(metadata)

    def progress(self, done: int, total: int | None = None, note: str = "") -> None:
        """Show how far the step is."""
        numbers = int(done), None if total is None else int(total)
        if not all(number is None or abs(number) < COUNT_MOST for number in numbers):
            raise ValueError(f"progress({done}, {total}): numbers are below {COUNT_MOST}")
        self._attempt.note = (*numbers, fit_text(note))


class AsyncContext(Facts):
    """Fits `headrace.StepContext`."""

    def __init__(self, attempt: Attempt, engine: Engine) -> None:
        super().__init__(attempt)
        self._engine = engine

    async def once(self, name: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Run `fn` once in this run of the step or item, and keep what it returned."""
        codec, transactional = read_function(fn)
        text = await self.recall(name)
        if text is not None:
            return codec.decode(text)
        if transactional:
            text = await self._once_in_transaction(name, codec, fn, args, kwargs)
        else:
            text = await self._once(name, codec, fn, args, kwargs)
        return codec.decode(text)

    @property
    def idempotent(self) -> Idempotent:
        """Calls a function once for the tenant and a key."""
        return Idempotent(StepCarrier(self._attempt, self._engine))

    async def submit(
        self,
        pipeline: Pipeline[Any, Any],
        input: Any,  # noqa: A002, ANN401
        *,
        key: str | None = None,
        **options: Any,
    ) -> JobHandle[Any]:
        """Submit another job of the same tenant and owner; a retried step finds it again."""
        self._refuse_stale()
        said = {name: value for name, value in options.items() if value is not None}
        check_options(said)
        attempt, claim = self._attempt, self._attempt.run.claim
        attempt.submitted += 1
        own = key if key is not None else str(attempt.submitted)
        given = {
            "idempotency_key": f"{self.idempotency_key}:{own}",
            "tenant": claim.tenant,
            "owner": claim.owner,
            "correlation_id": claim.correlation_id,
            "parent": claim.job,
            **said,
        }
        if "priority" not in said:
            given["priority"] = await priority_for(attempt.run, self._engine)
        if not attempt.step.has_child:
            return await self._engine.client.submit(pipeline, input, **given)
        return await submit_child(attempt, self._engine, pipeline, input, given)

    async def send(self, name: str, value: Any) -> bool:  # noqa: ANN401
        """Send a value to this job, as `JobHandle.send`."""
        self._refuse_stale()
        run = self._attempt.run
        text = self._engine.client.encode_signal(run.pipeline, name, value)
        claim, sender = run.claim, f"step {self._attempt.step.name}"
        fate = await self._engine.client.send_from_step(
            claim.job, claim.token, name, text, sender=sender
        )
        tell_of_signal(
            claim.job, name, fate, actor=sender, pipeline=run.pipeline.name, queue=claim.queue
        )
        if fate is Fate.STORED:
            run.holding().signals[name] = text
        return fate.stands

    def signal_url(self, name: str, **options: Any) -> str:
        """A link behind which a person answers a signal of this job."""
        claim = self._attempt.run.claim
        links = self._engine.client.links
        return links.make(claim.pipeline, claim.job, claim.run, name, **options)

    def lock(self, key: str, **options: Any) -> LockBlock:
        """Hold a lock of the tenant inside an `async with` block."""
        return step_lock(self._attempt, self._engine, key, **options)

    async def _once(
        self,
        name: str,
        codec: Codec[Any],
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> str:
        begun = monotonic()
        if inspect.iscoroutinefunction(fn):
            value = await fn(*args, **kwargs)
        else:
            value = await call_in_thread(self._engine.threads, fn, *args, **kwargs)
        text = codec.encode(value)
        await self.keep(name, text, begun)
        return text

    async def recall(self, name: str) -> str | None:
        """Take a record's name; its stored text, or None where it is still to be made."""
        self._take_name(name)
        attempt = self._attempt
        key = (attempt.step.name, attempt.item, name)
        await self.wait_for(key)
        stored = attempt.run.records.get(key)
        if stored is None:
            self._refuse_stale()
            return None
        return stored if isinstance(stored, str) else await self._engine.artifacts.read(stored.text)

    async def wait_for(self, key: RecordKey) -> None:
        """Return when a record that an earlier try of the step made is stored, if there is one."""
        pending = self._attempt.run.keeping.get(key)
        if pending is not None:
            await asyncio.shield(pending)

    async def keep(self, name: str, text: str, begun: float) -> None:
        """Store a record; returns when it is committed."""
        self._refuse_stale()
        row = await self._record(name, text, begun)
        await asyncio.shield(self._engine.store_record(self._attempt, row))

    async def _once_in_transaction(
        self,
        name: str,
        codec: Codec[Any],
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> str:
        begun, attempt, engine = monotonic(), self._attempt, self._engine
        transaction = StepTransaction(attempt, engine)
        try:
            value = await fn(transaction, *args, **kwargs)
            text = codec.encode(value)
            row = await self._record(name, text, begun)
            try:
                await transaction.commit(lambda at: insert_record(at, attempt, row, engine.worker))
            except asyncio.CancelledError:
                if not transaction.is_committed:
                    # Nobody knows what is stored: the job is released, and its next claim reads it.
                    attempt.run.stop = attempt.run.stop or Stop("released")
                raise
            except Exception as error:
                if not is_unavailable(error) or not await was_stored(attempt, engine, name):
                    raise
                transaction.is_committed = True
        finally:
            if transaction.is_committed:
                attempt.run.keep_record((attempt.step.name, attempt.item, name), text)
                tally = attempt.run.tally(attempt.key)
                tally.failures = tally.timeouts = 0
            await transaction.roll_back()
        return text

    async def _record(self, name: str, text: str, begun: float) -> RecordRow:
        attempt = self._attempt
        latency_us = int((monotonic() - begun) * 1_000_000)
        row = RecordRow(attempt.step.name, attempt.item, name, latency_us, text)
        if not self._engine.limits.keeps_inline(text):
            row.output, row.artifact = None, await self._engine.artifacts.write(attempt, text)
        return row

    def _take_name(self, name: str) -> None:
        attempt = self._attempt
        if name in attempt.names:
            raise DefinitionError(
                f"step {attempt.step.name}",
                f"once({name!r}, ...) is called twice in one execution; a record's name is its "
                "address: give each call a name of its own",
                "ONCE_NAME_TAKEN",
            )
        attempt.names |= {name}

    def _refuse_stale(self) -> None:
        if self._attempt.refused:
            claim = self._attempt.run.claim
            raise LeaseLostError(f"job {claim.job}", claim.token)


class BlockingContext(Facts):
    """Fits `headrace.SyncContext`: what waits is done by the loop, while the thread blocks."""

    def __init__(self, context: AsyncContext, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(context._attempt)  # noqa: SLF001 - the same facts
        self._context, self._loop = context, loop

    def once(self, name: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """As `AsyncContext.once`; `fn` runs in this thread."""
        attempt = self._attempt
        codec, transactional = read_function(fn)
        if transactional:
            raise refuse_transaction(attempt.step.name, name)
        self._context._take_name(name)  # noqa: SLF001
        key = (attempt.step.name, attempt.item, name)
        if key in attempt.run.keeping:
            self._wait(self._context.wait_for(key))
        stored = attempt.run.records.get(key)
        if stored is not None:
            text = (
                stored if isinstance(stored, str) else self._wait(self._read_artifact(stored.text))
            )
            return codec.decode(text)
        begun = monotonic()
        text = codec.encode(fn(*args, **kwargs))
        self._wait(self._context.keep(name, text, begun))
        return codec.decode(text)

    @property
    def idempotent(self) -> BlockingIdempotent:
        """As `AsyncContext.idempotent`; the function runs in this thread."""
        return BlockingIdempotent(self._attempt, self._context.idempotent, self._wait)

    def submit(self, pipeline: Pipeline[Any, Any], input: Any, **options: Any) -> JobHandle[Any]:  # noqa: A002, ANN401
        """As `AsyncContext.submit`."""
        return self._wait(self._context.submit(pipeline, input, **options))  # type: ignore[no-any-return]

    def send(self, name: str, value: Any) -> bool:  # noqa: ANN401
        """As `AsyncContext.send`."""
        return bool(self._wait(self._context.send(name, value)))

    def signal_url(self, name: str, **options: Any) -> str:
        """As `AsyncContext.signal_url`."""
        return self._context.signal_url(name, **options)

    def lock(self, key: str, **options: Any) -> SyncLockBlock:
        """As `AsyncContext.lock`, in a `with` block."""
        return thread_lock(self._attempt, self._context._engine, key, **options)  # noqa: SLF001

    async def _read_artifact(self, reference: str) -> str:
        return await self._context._engine.artifacts.read(reference)  # noqa: SLF001

    def _wait(self, work: Any) -> Any:  # noqa: ANN401 - what the coroutine returns
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()
