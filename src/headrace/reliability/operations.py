"""Operations that a tenant does once: whoever has the row of the key carries it out.

Two writes frame the function: the row is taken before it, the outcome is stored after it. What the
function does outside of the database may happen again if its process dies between them: for that
the service is handed the same key.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from headrace.errors import (
    DatabaseUnavailableError,
    IdempotencyKeyReusedError,
    LeaseLostError,
    OperationInProgressError,
)
from headrace.reliability.hub import POLL_S
from headrace.reliability.insisting import T, Writes
from headrace.store.failpoints import hit
from headrace.store.idempotency import (
    await_operation,
    begin_operation,
    complete_operation,
    fail_operation,
    has_ended,
    release_operation,
    renew_operation,
    take_over_operation,
)
from headrace.telemetry.events import emit
from headrace.telemetry.operation_events import (
    OperationGivenUp,
    OperationOutcomeRefused,
    OperationTakenOver,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from uuid import UUID

    from headrace.reliability.hub import Hub
    from headrace.store.idempotency import Seen, Wanted
    from headrace.store.pool import Connection, Pool

KEEP: Final = timedelta(hours=24)
"""So long an output answers, unless the caller says otherwise."""
KEEP_FAILED: Final = timedelta(hours=1)
MOST_TAKEOVERS: Final = 3
RENEW_EVERY_S: Final = 60.0
LOOK: Final = timedelta(seconds=1)
"""How often those look who wait to be rung: a holder that dies rings for nobody."""
AGAIN_MOST_S: Final = 30.0
RELEASE_WAIT_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Settled:
    """The outcome is known: it is one of these."""

    output: str | None
    artifact: str | None
    error: str | None


@dataclass(slots=True, eq=False)
class Grant:
    """An operation that is the asker's to carry out.

    Attributes:
        is_void: Tells that nothing may be stored any more of what its holder does.
        storing: Its outcome is on its way to the database.
    """

    wanted: Wanted
    is_void: Callable[[], bool]
    holder: UUID
    token: int = 0
    storing: asyncio.Task[None] | None = None
    timer: asyncio.TimerHandle | None = None


class Operations:
    """The operations in the hands of one worker, or of a process that is none."""

    def __init__(self, pool: Pool, hub: Hub, *, look: timedelta = LOOK) -> None:
        """Nothing is done before `begin`.

        Args:
            pool: For connections.
            hub: Wakes those who wait for an outcome.
            look: How often they look themselves.
        """
        self._hub, self._writes, self._look_s = hub, Writes(pool), look.total_seconds()
        self._grants: dict[UUID, Grant] = {}

    async def close(self) -> None:
        """Write no more: others take over what is left pending."""
        await self._writes.close()
        for grant in list(self._grants.values()):
            self.drop(grant)

    # --- before the function ----------------------------------------------------------------------

    async def begin(
        self, wanted: Wanted, *, wait: timedelta, is_void: Callable[[], bool]
    ) -> Grant | Settled:
        """Take an operation, or learn its outcome.

        Args:
            wanted: Which, and for whom.
            wait: How long to wait for the outcome where another one carries it out.
            is_void: See `Grant`.

        Raises:
            OperationInProgressError: Another one carries it out, and has not ended in that time.
            IdempotencyKeyReusedError: The key is another operation's, or of another input.
            DatabaseUnavailableError: No server answered, outside of a worker.
        """
        grant = Grant(wanted, is_void, uuid.uuid4())
        self._grants[grant.holder] = grant
        try:
            settled = await self._take(grant, monotonic() + wait.total_seconds())
        except (OperationInProgressError, IdempotencyKeyReusedError):
            self.drop(grant)
            raise
        except BaseException:
            # Nobody knows whether the row was taken.
            await self.release(grant)
            raise
        if settled is not None:
            self.drop(grant)
            return settled
        self._renew_later(grant)
        hit("operation.begun")
        return grant

    async def _take(self, grant: Grant, until: float) -> Settled | None:
        async with contextlib.AsyncExitStack() as exits:
            changed: asyncio.Event | None = None
            while (seen := await self._look(grant)) is not None:
                if seen.state != "pending":
                    return Settled(seen.output, seen.artifact, seen.error)
                if monotonic() >= until or grant.is_void():
                    raise _in_progress(grant.wanted, seen)
                if changed is None:
                    changed = self._listen(grant.wanted, exits)
                    await self._ask(grant.wanted, lambda at: await_operation(at, grant.wanted))
                else:
                    await self._sleep(changed, until)
        return None

    async def _look(self, grant: Grant) -> Seen | None:
        """Take the operation if that is possible now; else what is known of it."""
        wanted = grant.wanted
        while True:
            seen = await self._ask(wanted, lambda at: begin_operation(at, wanted, grant.holder))
            if seen.won or seen.holder == grant.holder:
                grant.token = seen.token
                return None
            _check_same(wanted, seen)
            if seen.state != "pending":
                return seen
            holder = self._grants.get(seen.holder)
            if holder is not None and holder.storing is not None:
                await asyncio.wait({holder.storing})
            elif not self._may_take_over(wanted, seen):
                return seen
            elif await self._take_over(grant, seen):
                return None

    def _may_take_over(self, wanted: Wanted, seen: Seen) -> bool:
        """Whether its holder will not end it: it died, or lost its job, or is none of ours."""
        if seen.is_gone:
            return True
        if wanted.job_token and seen.job == wanted.job and (seen.job_token or 0) < wanted.job_token:
            return True
        if seen.worker is None or seen.worker != wanted.worker:
            return False
        holder = self._grants.get(seen.holder)
        return holder is None or holder.is_void()

    async def _take_over(self, grant: Grant, seen: Seen) -> bool:
        wanted = grant.wanted
        if seen.takeovers >= MOST_TAKEOVERS:
            await self._give_up(wanted, seen)
            return False
        token = await self._ask(
            wanted, lambda at: take_over_operation(at, wanted, grant.holder, seen)
        )
        if token is None:
            return False
        grant.token = token
        emit(
            OperationTakenOver(
                **_told(wanted),
                takeovers=seen.takeovers + 1,
                token=token,
                earlier_job_id=seen.job,
                earlier_worker_id=None if seen.worker is None else str(seen.worker),
            )
        )
        return True

    async def _give_up(self, wanted: Wanted, seen: Seen) -> None:
        error = _error("permanent", "OPERATION_GIVEN_UP", _given_up(wanted, seen))
        if await self._ask(
            wanted,
            lambda at: fail_operation(
                at, wanted.tenant, wanted.key, seen.token, keep=KEEP_FAILED, error=error
            ),
        ):
            emit(OperationGivenUp(**_told(wanted), takeovers=seen.takeovers))

    async def _ask(self, wanted: Wanted, work: Callable[[Connection], Awaitable[T]]) -> T:
        """A step waits for the database until its worker stops it, which costs no attempt."""
        if wanted.worker is None:
            return await self._writes.use(work)
        return await self._writes.insist(work)

    def _listen(self, wanted: Wanted, exits: contextlib.AsyncExitStack) -> asyncio.Event:
        changed = asyncio.Event()
        exits.callback(
            self._hub.listen(
                "operation", f"{wanted.tenant}/{wanted.key}", lambda _text: changed.set()
            )
        )
        return changed

    async def _sleep(self, changed: asyncio.Event, until: float) -> None:
        most = self._look_s if self._hub.is_listening else POLL_S
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, min(most, until - monotonic()))):
                await changed.wait()
        changed.clear()

    # --- after the function -----------------------------------------------------------------------

    async def complete(
        self, grant: Grant, *, keep: timedelta, output: str | None, artifact: str | None = None
    ) -> None:
        """Store an output; returns when it is committed, also after an outage of the database.

        Raises:
            LeaseLostError: Another one has taken the operation over: nothing was stored.
        """
        wanted = grant.wanted
        await self._store(
            grant,
            lambda at: complete_operation(
                at, wanted.tenant, wanted.key, grant.token,
                keep=keep, output=output, artifact=artifact,
            ),
        )  # fmt: skip

    async def fail(self, grant: Grant, kind: str, code: str, message: str) -> None:
        """Store a permanent failure; as `complete`."""
        wanted, error = grant.wanted, _error(kind, code, message)
        await self._store(
            grant,
            lambda at: fail_operation(
                at, wanted.tenant, wanted.key, grant.token, keep=KEEP_FAILED, error=error
            ),
        )

    async def complete_in(
        self,
        connection: Connection,
        grant: Grant,
        *,
        keep: timedelta,
        output: str | None,
        artifact: str | None,
    ) -> None:
        """Store an output in the caller's transaction.

        Raises:
            LeaseLostError: As `complete`; the caller rolls back.
        """
        wanted = grant.wanted
        if not await complete_operation(
            connection, wanted.tenant, wanted.key, grant.token,
            keep=keep, output=output, artifact=artifact,
        ):  # fmt: skip
            raise self._refused(grant)

    async def has_ended(self, grant: Grant) -> bool:
        """Whether its outcome is stored; asked until a server has answered."""
        wanted = grant.wanted
        return await self._writes.insist(
            lambda at: has_ended(at, wanted.tenant, wanted.key, grant.token)
        )

    def _refused(self, grant: Grant) -> LeaseLostError:
        emit(OperationOutcomeRefused(**_told(grant.wanted), token=grant.token))
        return LeaseLostError(f"operation {grant.wanted.key!r}", grant.token)

    async def release(self, grant: Grant) -> None:
        """Leave the key free for the next try: at once, or as soon as the database is back."""
        wanted = grant.wanted

        async def write() -> None:
            await self._writes.insist(
                lambda at: release_operation(at, wanted.tenant, wanted.key, grant.holder)
            )

        task = self._start(grant, write())
        await asyncio.wait({task}, timeout=RELEASE_WAIT_S)

    def drop(self, grant: Grant) -> None:
        """Its outcome is stored, or will not be by this holder."""
        self._grants.pop(grant.holder, None)
        if grant.timer is not None:
            grant.timer.cancel()

    async def _store(self, grant: Grant, write: Callable[[Connection], Awaitable[bool]]) -> None:
        """Keep at it if the step is cut off: its next try would call the function again."""
        hit("operation.before_outcome")

        async def store() -> None:
            # A reply that was lost looks like an operation that another one has ended.
            if not await self._writes.insist(write) and not await self.has_ended(grant):
                raise self._refused(grant)

        await asyncio.shield(self._start(grant, store()))
        hit("operation.after_outcome")

    def _start(self, grant: Grant, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = grant.storing = self._writes.start(work)
        task.add_done_callback(lambda _task: self.drop(grant))
        return task

    # --- while it runs ----------------------------------------------------------------------------

    def _renew_later(self, grant: Grant) -> None:
        loop = asyncio.get_running_loop()
        grant.timer = loop.call_later(RENEW_EVERY_S, self._renew, grant)

    def _renew(self, grant: Grant) -> None:
        wanted = grant.wanted

        async def renew() -> None:
            with contextlib.suppress(DatabaseUnavailableError):  # the next time is soon enough
                await self._writes.use(
                    lambda at: renew_operation(at, wanted.tenant, wanted.key, grant.token)
                )

        self._writes.begin(renew())
        self._renew_later(grant)


def _check_same(wanted: Wanted, seen: Seen) -> None:
    if seen.operation != wanted.operation:
        raise IdempotencyKeyReusedError(wanted.key, seen.operation)
    if seen.input_hash != wanted.input_hash:
        raise IdempotencyKeyReusedError(wanted.key)


def _in_progress(wanted: Wanted, seen: Seen) -> OperationInProgressError:
    """Say who is at it; the longer it takes, the later it is asked again."""
    holder = "another process" if seen.job is None else f"job {seen.job}"
    if seen.worker is not None:
        holder = f"{holder} in worker {seen.worker}"
    again_s = min(AGAIN_MOST_S, max(1.0, seen.age_s / 2))
    return OperationInProgressError(wanted.key, holder, timedelta(seconds=again_s))


def _given_up(wanted: Wanted, seen: Seen) -> str:
    place = "" if seen.job is None else f" (the last one for job {seen.job})"
    return (
        f"operation {wanted.operation} with key {wanted.key!r} was begun {seen.takeovers + 1} "
        f"times, and each time its worker died before the outcome was stored{place}: look into the "
        "logs for what ends the workers, and with the service for what was done; then "
        "`headrace operations forget` lets it be tried again, which an hour does too"
    )


def _error(kind: str, code: str, message: str) -> str:
    return json.dumps({"kind": kind, "code": code, "message": message})


def _told(wanted: Wanted) -> dict[str, Any]:
    """What every event of an operation says."""
    return {
        "tenant": wanted.tenant,
        "operation": wanted.operation,
        "key": wanted.key,
        "job_id": wanted.job,
        "worker_id": None if wanted.worker is None else str(wanted.worker),
    }
