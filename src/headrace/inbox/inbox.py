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
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple
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
from headrace.inbox.message import KIND, RefusedError, read_order, source_key, verify
from headrace.model.job import JobState
from headrace.store.failures import is_retryable, is_unavailable
from headrace.store.inbox import Aside, claim_key, find_key, note_job, put_aside
from headrace.store.sources import find_source
from headrace.telemetry.events import emit, enabled
from headrace.telemetry.job_events import IdempotentSkip
from headrace.telemetry.messaging_events import MessagePutAside, MessageReturned, MessageSettled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from headrace.client.client import Client
    from headrace.inbox.message import Incoming, Order
    from headrace.model.pipeline import Pipeline
    from headrace.store.inbox import Known
    from headrace.store.pool import HeldConnection
    from headrace.store.sources import Source

AT_ONCE: Final = 4
"""Messages whose jobs are stored at the same time: others wait, and leave the pool to the steps."""
ENDED: Final = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED})


class Outcome(StrEnum):
    """How a message ends.

    Besides these, doorbells are `rung`.
    """

    INSERTED = "inserted"
    """Its job is stored."""
    DUPLICATE = "duplicate"
    """Its job was stored before, and goes on."""
    STALE = "stale"
    """Its job was stored before, and has ended or is gone."""
    QUARANTINED = "quarantined"
    """It can never be taken, and is put aside."""
    RETURNED = "returned"
    """It cannot be taken now: it is not acknowledged, and comes again."""


class Verdict(NamedTuple):
    """What became of a message.

    Attributes:
        job: Its job, where it has one.
        reason: Why it was put aside or returned; empty otherwise.
    """

    outcome: Outcome
    job: UUID | None = None
    reason: str = ""

    @property
    def is_settled(self) -> bool:
        """Whether to acknowledge it."""
        return self.outcome is not Outcome.RETURNED


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

    async def receive(self, message: Incoming) -> Verdict:
        """Take a message; its outcome is counted. Never raises: what is unexpected is returned."""
        try:
            async with self._room:
                verdict = await self._take(message)
        except (UnavailableError, OSError):
            verdict = Verdict(Outcome.RETURNED, reason="the database does not answer")
        except asyncpg.PostgresError as error:
            if not (is_unavailable(error) or is_retryable(error)):
                raise
            verdict = Verdict(Outcome.RETURNED, reason="the database does not answer")
        self._tell(message, verdict)
        return verdict

    async def _take(self, message: Incoming) -> Verdict:
        async with self._connect() as connection:
            source: Source | None = None
            try:
                source = await self._source(connection, message)
                key = self._verified(message, source)
                order = read_order(message, self._most_bytes)
                return await self._submit(connection, message, source, order, order.id or key)
            except RefusedError as refused:
                return await self._put_aside(connection, message, source, refused)

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
        pipeline, value = self._checked(source, order)
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
                    return Verdict(Outcome.INSERTED, job)
        except (InvalidError, PresetNotFoundError) as error:
            raise RefusedError("invalid", str(error)) from None
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

    def _checked(self, source: Source, order: Order) -> tuple[Pipeline[Any, Any], object]:
        if not source.may_submit(order.pipeline):
            raise RefusedError("not_allowed", "the source may not submit to this pipeline")
        if order.owner is not None and not source.names_owners:
            raise RefusedError("not_allowed", "the source may not name an owner")
        try:
            pipeline = self._client.pipeline(order.pipeline)
        except PipelineNotFoundError:
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
        self,
        connection: HeldConnection,
        message: Incoming,
        source: Source | None,
        refused: RefusedError,
    ) -> Verdict:
        aside = Aside(
            message_id=message.message_id,
            source=message.source,
            tenant=None if source is None else source.tenant,
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
                    kind=KIND,
                    priority=None,
                    source=aside.source,
                    reason=refused.reason,
                )
            )
        return Verdict(Outcome.QUARANTINED, reason=refused.reason)

    def _tell(self, message: Incoming, verdict: Verdict) -> None:
        if verdict.outcome is Outcome.RETURNED:
            emit(MessageReturned(message_id=message.message_id, kind=KIND, reason=verdict.reason))
        if enabled(MessageSettled):
            emit(
                MessageSettled(
                    message_id=message.message_id,
                    kind=KIND,
                    outcome=verdict.outcome,
                    message_latency_ms=message.age_ms,
                )
            )


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
