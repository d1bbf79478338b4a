"""Takes messages that submit jobs; each ends in exactly one outcome.

Its id and its job are stored in one transaction, and only then it is acknowledged: where the worker
dies in between, it comes again and is a duplicate. What can never be taken is put aside with the
reason, and announced once on the topic of dead letters. While the database is away nothing is
acknowledged, so nothing is lost.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import asyncpg

from headrace.client.options import SubmitOptions
from headrace.client.payloads import encode_payload
from headrace.errors import (
    InputError,
    InvalidError,
    PipelineNotFoundError,
    PresetNotFoundError,
    UnavailableError,
)
from headrace.inbox.message import RefusedError, read_order, source_key, verify
from headrace.inbox.verdict import AWAY, DOORBELL, Outcome, Verdict, kind_of, tell
from headrace.model.job import JobState
from headrace.store.failures import is_retryable, is_unavailable
from headrace.store.inbox import (
    Aside,
    claim_key,
    find_key,
    is_registered,
    note_job,
    put_aside,
)
from headrace.store.sources import find_source
from headrace.telemetry.events import emit, enabled
from headrace.telemetry.job_events import IdempotentSkip
from headrace.telemetry.messaging_events import MessagePutAside

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from headrace.client.client import Client
    from headrace.inbox.message import Order
    from headrace.model.incoming import Incoming
    from headrace.model.pipeline import Pipeline
    from headrace.store.inbox import Known
    from headrace.store.pool import HeldConnection
    from headrace.store.sources import Source

AT_ONCE: Final = 4
"""Messages whose jobs are stored at the same time: others wait, and leave the pool to the steps."""
ENDED: Final = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED})


class ElsewhereError(Exception):
    """A message is for a pipeline that other workers carry."""


class Inbox:
    """Takes messages; any number at once.

    Args:
        client: Stores the jobs.
        connect: Gives a connection of the database for a `with` block.
        keys: The signing keys of the settings, the newest first.
        most_bytes: Of a message's data, and of a job's input.
    """

    def __init__(
        self,
        client: Client,
        connect: Callable[[], AbstractAsyncContextManager[HeldConnection]],
        *,
        keys: Sequence[bytes],
        most_bytes: tuple[int, int],
    ) -> None:
        self._client, self._connect, self._keys = client, connect, keys
        self._most_bytes, self._most_payload = most_bytes
        self._room = asyncio.Semaphore(AT_ONCE)

    async def check(self) -> None:
        """Return when messages can be taken.

        Raises:
            DatabaseUnavailableError: The database does not answer.
        """
        async with self._connect() as connection:
            await connection.execute("select")

    async def receive(self, message: Incoming) -> Verdict:
        """Take a message; its outcome is counted. Never raises: what is unexpected is returned."""
        verdict = await self._try(message)
        tell(message, verdict)
        return verdict

    async def salvage(self, message: Incoming) -> Verdict:
        """Take a message that the broker has given up delivering, or put it aside for good.

        It is returned only while the database is away. A ring that is so old is worth nothing.
        """
        sent = message.as_sent()
        if sent.kind == DOORBELL:
            verdict = Verdict(Outcome.STALE)
        else:
            verdict = await self._try(sent)
        if verdict.outcome is Outcome.RETURNED and not verdict.for_outage:
            verdict = await self._give_up(sent, verdict.reason)
        tell(sent, verdict)
        return verdict

    async def _try(self, message: Incoming) -> Verdict:
        try:
            async with self._room:
                return await self._take(message)
        except ElsewhereError:
            return Verdict(Outcome.RETURNED, reason="other workers carry its pipeline")
        except (UnavailableError, OSError):
            return Verdict(Outcome.RETURNED, reason=AWAY)
        except Exception as error:  # noqa: BLE001 - no message may end the stream of all others
            if isinstance(error, asyncpg.PostgresError | asyncpg.InterfaceError) and (
                is_unavailable(error) or is_retryable(error)
            ):
                return Verdict(Outcome.RETURNED, reason=AWAY)
            return Verdict(Outcome.RETURNED, reason=f"unexpected: {type(error).__name__}")

    async def _take(self, message: Incoming) -> Verdict:
        if not self._keys:
            return Verdict(Outcome.RETURNED, reason="there is no signing key here")
        async with self._connect() as connection:
            try:
                verdict = await self.accept(connection, message)
            except RefusedError as refused:
                return await _put_aside(connection, message, refused)
        self.ring(verdict)
        return verdict

    def ring(self, verdict: Verdict) -> None:
        """Where notifications wake nobody; the transaction that stored the job had one."""
        if verdict.queue:
            self._client.submitter.storing.broker.echo(verdict.queue)

    async def accept(self, connection: HeldConnection, message: Incoming) -> Verdict:
        """Check a message and store its job, with nothing of its own around that.

        Raises:
            RefusedError: It can never be taken as it is.
            ElsewhereError: Other workers carry its pipeline.
        """
        source = await self._source(connection, message)
        try:
            key = self._verified(message, source)
            order = read_order(message, self._most_bytes)
            return await self._submit(connection, message, source, order, order.id or key)
        except RefusedError as refused:
            refused.tenant = source.tenant
            raise

    async def _give_up(self, message: Incoming, reason: str) -> Verdict:
        refused = RefusedError("undeliverable", f"it was returned too often: {reason}")
        try:
            async with self._connect() as connection:
                return await _put_aside(connection, message, refused)
        except (UnavailableError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return Verdict(Outcome.RETURNED, reason=AWAY)

    async def _source(self, connection: HeldConnection, message: Incoming) -> Source:
        if message.source is None:
            raise RefusedError("unsigned", "the attribute source is missing")
        source = None
        if "\x00" not in message.source:
            source = await find_source(connection, message.source)
        if source is None:
            raise RefusedError("unknown_source", "no source of this name is registered")
        return source

    def _verified(self, message: Incoming, source: Source) -> str:
        """The id of a message that gives none: its signature, which no other one has."""
        keys = [
            source_key(master, source.name, generation)
            for master in self._keys
            for generation in source.generations
        ]
        signature = verify(message, keys)
        if source.disabled_at is not None:
            raise RefusedError("not_allowed", "the source is disabled")
        return f"signature:{_short_hash(signature)}"

    async def _submit(
        self,
        connection: HeldConnection,
        message: Incoming,
        source: Source,
        order: Order,
        key: str,
    ) -> Verdict:
        pipeline, value = await self._checked(connection, source, order)
        options = _options(source, order, connection)
        try:
            async with connection.transaction():
                taken = await claim_key(
                    connection,
                    source.name,
                    key,
                    message_id=message.message_id,
                    content=message.content,
                )
                if taken:
                    handle = await self._client.submit(pipeline.name, value, **options)
                    job = UUID(str(handle.id))
                    await note_job(connection, source.name, key, job)
        except (InvalidError, PresetNotFoundError) as error:
            raise RefusedError("invalid", str(error)) from None
        if taken:
            return Verdict(Outcome.INSERTED, job, queue=pipeline.queue)
        known = await find_key(connection, source.name, key)
        verdict = _known(known, message)
        if enabled(IdempotentSkip) and verdict.job is not None:
            emit(
                IdempotentSkip(
                    job_id=verdict.job,
                    run=1,
                    pipeline=pipeline.name,
                    tenant=source.tenant,
                    reason=f"inbox_{verdict.outcome}",
                )
            )
        return verdict

    async def _checked(
        self, connection: HeldConnection, source: Source, order: Order
    ) -> tuple[Pipeline[Any, Any], object]:
        if not source.may_submit(order.pipeline):
            raise RefusedError("not_allowed", "the source may not submit to this pipeline")
        if order.owner is not None and not source.names_owners:
            raise RefusedError("not_allowed", "the source may not name an owner")
        try:
            pipeline = self._client.pipeline(order.pipeline)
        except PipelineNotFoundError:
            if await is_registered(connection, order.pipeline):
                raise ElsewhereError(order.pipeline) from None
            raise RefusedError("unknown_pipeline", "there is no pipeline of this name") from None
        try:
            text = encode_payload(pipeline, order.payload, self._most_payload)
        except InputError as error:
            places = "; ".join(
                f"$.payload{path[1:]}: {problem}" for path, problem in error.problems
            )
            raise RefusedError("invalid", places) from None
        return pipeline, pipeline.input.decode(text)


async def _put_aside(
    connection: HeldConnection, message: Incoming, refused: RefusedError
) -> Verdict:
    aside = Aside(
        message_id=message.message_id,
        source=message.source,
        tenant=refused.tenant,
        reason=refused.reason,
        detail=refused.detail,
        data=message.data,
        attributes=message.attributes,
        published_at=message.published_at,
    )
    number = await put_aside(connection, aside)
    if number is not None:
        emit(
            MessagePutAside(
                message_id=message.message_id,
                kind=kind_of(message),
                priority=None,
                source=aside.source,
                reason=refused.reason,
            )
        )
    return Verdict(Outcome.QUARANTINED, reason=refused.reason)


def _options(source: Source, order: Order, connection: HeldConnection) -> SubmitOptions:
    return SubmitOptions(
        connection=connection,
        priority=order.priority,
        due=order.due_at,
        deadline=order.deadline,
        tenant=source.tenant,
        owner=order.owner or source.owner,
        preset=order.preset,
        parameters=order.parameters,
        metadata=order.metadata,
        correlation_id=order.correlation_id,
        ordering_key=order.ordering_key,
        concurrency_key=order.concurrency_key,
        actor=f"source:{source.name}",
    )


def _known(known: Known | None, message: Incoming) -> Verdict:
    """What became of a message whose id was taken."""
    if known is None:  # removed since: so long ago that nobody knows what it was
        return Verdict(Outcome.STALE)
    if known.content != message.content:
        raise RefusedError("conflict", "another message has come with this id")
    outcome = Outcome.STALE if known.state is None or known.state in ENDED else Outcome.DUPLICATE
    return Verdict(outcome, known.job)


def _short_hash(text: str) -> str:
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=").lower()
