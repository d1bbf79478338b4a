"""Operations that steps carry out for their whole tenant."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from headrace.errors import DefinitionError, LeaseLostError, PermanentError
from headrace.reliability.idempotent import Carrier, Failure, Idempotent, carrying
from headrace.reliability.operations import Settled
from headrace.store.failures import is_unavailable
from headrace.store.idempotency import Wanted
from headrace.worker import report
from headrace.worker.outcomes import Failed, read_error
from headrace.worker.threads import call_in_thread
from headrace.worker.transaction import StepTransaction

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from datetime import timedelta

    from headrace.reliability.calls import Call
    from headrace.reliability.operations import Grant
    from headrace.store.pool import Connection
    from headrace.worker.attempt import Attempt
    from headrace.worker.engine import Engine


class StepCarrier(Carrier):
    """A step that carries operations out."""

    def __init__(self, attempt: Attempt, engine: Engine) -> None:
        self._attempt, self._engine = attempt, engine
        self.operations = engine.operations

    def want(self, key: str, call: Call) -> Wanted:
        """As `Carrier.want`.

        Raises:
            LeaseLostError: The job is another worker's by now.
        """
        attempt, claim = self._attempt, self._attempt.run.claim
        if attempt.refused:
            raise LeaseLostError(f"job {claim.job}", claim.token)
        return Wanted(
            tenant=claim.tenant,
            key=key,
            operation=call.operation,
            input_hash=call.input_hash,
            job=claim.job,
            job_token=claim.token,
            run=claim.run,
            step=attempt.step.name,
            item=attempt.item or None,
            worker=self._engine.worker,
        )

    def is_void(self) -> bool:
        """As `Carrier.is_void`."""
        return self._attempt.refused

    def most_wait(self) -> timedelta:
        """As `Carrier.most_wait`."""
        return self._attempt.remaining()

    def judge(self, error: Exception) -> Failure | None:
        """As `Carrier.judge`: what the step itself would not try again on purpose."""
        step = self._attempt.step
        if not isinstance(error, (PermanentError, *step.retry.unless)):
            return None
        outcome = read_error(error, step)
        if not isinstance(outcome, Failed) or outcome.retried:
            return None
        return Failure(outcome.kind, outcome.code, outcome.message)

    async def call(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """As `Carrier.call`."""
        return await call_in_thread(self._engine.threads, fn, *args, **kwargs)

    async def keep(self, text: str) -> tuple[str | None, str | None]:
        """As `Carrier.keep`."""
        if self._engine.limits.keeps_inline(text):
            return text, None
        return None, await self._engine.artifacts.write(self._attempt, text)

    async def read(self, reference: str) -> str:
        """As `Carrier.read`."""
        return await self._engine.artifacts.read(reference)

    async def carry_out(
        self,
        call: Call,
        grant: Grant,
        keep: timedelta,
        fn: Callable[[StepTransaction], Awaitable[Any]],
    ) -> str:
        """As `Carrier.carry_out`: what it writes and the outcome are committed together."""
        transaction = StepTransaction(self._attempt, self._engine)
        try:
            text = call.codec.encode(await fn(transaction))
            output, artifact = await self.keep(text)

            async def write(connection: Connection) -> None:
                await self.operations.complete_in(
                    connection, grant, keep=keep, output=output, artifact=artifact
                )

            try:
                await transaction.commit(write)
            except Exception as error:
                if not is_unavailable(error) or not await self.operations.has_ended(grant):
                    raise
        finally:
            await transaction.roll_back()
        self.operations.drop(grant)
        return text

    def told_before(self, settled: Settled) -> None:
        """As `Carrier.told_before`."""
        reason = "operation_completed" if settled.error is None else "operation_failed"
        report.skipped(self._attempt.run.claim, reason)


class BlockingIdempotent:
    """Fits `headrace.BlockingIdempotent`: what waits is done by the loop, the call here."""

    def __init__(
        self, attempt: Attempt, inner: Idempotent, wait: Callable[[Coroutine[Any, Any, Any]], Any]
    ) -> None:
        self._attempt, self._inner, self._wait = attempt, inner, wait

    def with_options(self, **options: Any) -> BlockingIdempotent:
        """The same with other options; those that are left out stay."""
        return BlockingIdempotent(self._attempt, self._inner.with_options(**options), self._wait)

    def __call__(self, key: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """As `Idempotent`; `fn` runs in this thread."""
        inner = self._inner
        call = inner.read(key, fn, args, kwargs)
        if call.transactional or inspect.iscoroutinefunction(fn):
            raise _refuse(self._attempt.step.name, key, is_async=not call.transactional)
        begun = self._wait(inner.begin(key, call))
        if isinstance(begun, Settled):
            return call.codec.decode(self._wait(inner.outcome(begun)))
        try:
            with carrying(begun):
                text = call.codec.encode(fn(*args, **kwargs))
            stored = self._wait(inner.keep(text))
        except BaseException as error:
            self._wait(inner.failed(begun, error))
            raise
        self._wait(inner.completed(begun, *stored))
        return call.codec.decode(text)


def _refuse(step: str, key: str, *, is_async: bool) -> DefinitionError:
    what = "an async function" if is_async else "a function that takes a Transaction"
    return DefinitionError(
        f"step {step}",
        f"idempotent({key!r}, ...) got {what}, which needs an async step",
        "TRANSACTION_SYNC" if not is_async else "CONTEXT_KIND",
    )
