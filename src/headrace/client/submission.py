"""From an input and its options to a stored job."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from uuid_utils import uuid7

from headrace.client.encoding import encode_input, encode_inputs
from headrace.client.keyed import pair_keys, store_keyed
from headrace.client.options import (
    DEFAULT,
    check_preset,
    check_priority,
    check_text,
    check_time,
    encode_mapping,
    ordering_key_of,
)
from headrace.client.storing import Storing
from headrace.errors import JobNotFoundError
from headrace.store.callers import adapt
from headrace.store.jobs import (
    PORTION,
    Shared,
    insert_many,
    insert_one,
    insert_portion,
    read_clock,
)
from headrace.telemetry.events import emit, enabled
from headrace.telemetry.job_events import Enqueued, IdempotentSkip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    import uuid_utils

    from headrace.broker.broker import Broker
    from headrace.client.keyed import Keyed
    from headrace.client.options import Given
    from headrace.client.storing import Write
    from headrace.model.context import JsonValue
    from headrace.model.pipeline import Pipeline
    from headrace.store.callers import Caller
    from headrace.store.connections import Connections
    from headrace.store.jobs import Portion
    from headrace.store.lanes import Lanes
    from headrace.store.pool import HeldConnection


@dataclass(frozen=True, slots=True)
class Limits:
    """The settings of submissions.

    Attributes:
        head_start: By which a point of priority moves a job forward in its queue.
        max_payload_bytes: The largest input; also the largest parameters and metadata.
    """

    head_start: timedelta = timedelta(seconds=60)
    max_payload_bytes: int = 512 * 1024


class Submitter:
    """Stores the jobs that a process submits.

    Args:
        connections: Where jobs are stored that no caller's transaction takes.
        lanes: Knows each pipeline's lane.
        broker: Wakes the workers.
        limits: The settings, asked for with each submission.
    """

    def __init__(
        self,
        connections: Connections,
        lanes: Lanes,
        broker: Broker,
        limits: Callable[[], Limits],
    ) -> None:
        self._connections, self._lanes, self._limits = connections, lanes, limits
        self.storing = Storing(connections, broker)

    @property
    def payload_most(self) -> int:
        """Bytes of the largest input."""
        return self._limits().max_payload_bytes

    async def submit(
        self, pipeline: Pipeline[Any, Any], value: object, given: Given
    ) -> uuid_utils.UUID:
        """Store one job; see `Client.submit`."""
        text = encode_input(pipeline, value, self.payload_most)
        job = uuid7()
        if given.connection is not None:
            caller = await adapt(given.connection)
            shared = await self.check(pipeline, given, caller)
            await insert_one(caller, job, text, shared, ring=given.ring)
        else:
            shared = await self.check(pipeline, given)

            async def write(connection: HeldConnection, ring: bool) -> None:  # noqa: FBT001
                await insert_one(connection, job, text, shared, ring=ring)

            await self.storing.store(shared.queue, (job,), write)
        if enabled(Enqueued):
            _announce(pipeline, shared, (job,))
        return job

    async def submit_many(
        self, pipeline: Pipeline[Any, Any], values: Sequence[object], given: Given
    ) -> list[uuid_utils.UUID]:
        """Store many jobs, all or none; see `Client.submit_many`."""
        if not values:
            return []
        ids = [uuid7() for _ in values]
        if given.connection is not None:
            texts = encode_inputs(pipeline, values, self.payload_most)
            caller = await adapt(given.connection)
            shared = await self.check(pipeline, given, caller)
            await insert_portion(caller, ids, texts, shared, ring=given.ring)
        else:
            shared = await self.check(pipeline, given)

            await self.storing.store(shared.queue, ids, self._bulk(pipeline, ids, values, shared))
        if enabled(Enqueued):
            _announce(pipeline, shared, ids)
        return ids

    async def submit_keyed(
        self,
        pipeline: Pipeline[Any, Any],
        values: Sequence[object],
        keys: Sequence[str],
        given: Given,
    ) -> list[uuid_utils.UUID]:
        """Store the jobs whose idempotency keys are free; the job of each key, in order."""
        wanted = pair_keys(encode_inputs(pipeline, values, self.payload_most), keys)
        if given.connection is not None:
            caller = await adapt(given.connection)
            shared = await self.check(pipeline, given, caller)
            async with caller.savepoint():
                found = await store_keyed(caller, pipeline, wanted, shared, ring=given.ring)
        else:
            shared = await self.check(pipeline, given)
            found = await self._store_keyed(pipeline, wanted, shared)
        _announce_keyed(pipeline, shared, wanted, found)
        return [found[key] for key in keys]

    def _bulk(
        self,
        pipeline: Pipeline[Any, Any],
        ids: Sequence[uuid_utils.UUID],
        values: Sequence[object],
        shared: Shared,
    ) -> Write[None]:
        if len(values) > PORTION:
            return lambda connection, ring: insert_many(
                connection, self._portions(pipeline, ids, values), shared, ring=ring
            )
        texts = encode_inputs(pipeline, values, self.payload_most)
        return lambda connection, ring: insert_portion(connection, ids, texts, shared, ring=ring)

    async def _store_keyed(
        self, pipeline: Pipeline[Any, Any], wanted: dict[str, Keyed], shared: Shared
    ) -> dict[str, uuid_utils.UUID]:
        async def write(connection: HeldConnection, ring: bool) -> dict[str, uuid_utils.UUID]:  # noqa: FBT001
            if len(wanted) == 1:  # one statement, and where its key is taken nothing to undo
                return await store_keyed(connection, pipeline, wanted, shared, ring=ring)
            async with connection.transaction():
                return await store_keyed(connection, pipeline, wanted, shared, ring=ring)

        # The keys themselves find what was stored before a reply was lost: no ids are looked for.
        found = await self.storing.store(shared.queue, (), write, jobs=len(wanted))
        return found or {}

    async def check(
        self, pipeline: Pipeline[Any, Any], given: Given, caller: Caller | None = None
    ) -> Shared:
        """The options as they are stored; nothing is.

        Raises:
            HeadraceError: One is not accepted; see `Client.submit`.
        """
        due_at = deadline = None
        if given.due is not None or given.deadline is not None:
            now = await self._now(caller)
            due_at = check_time("due", given.due, now)
            deadline = check_time("deadline", given.deadline, now)
        if given.preset is not None:
            check_preset(pipeline, given.preset)
        ordering_key = ordering_key_of(
            pipeline, _text("ordering_key", given.ordering_key), given.owner
        )
        concurrency_key = _text("concurrency_key", given.concurrency_key)
        is_keyed = ordering_key is not None or concurrency_key is not None
        return Shared(
            lane=await self._lanes.lane_of(pipeline, keyed=is_keyed),
            queue=pipeline.queue,
            tenant=given.tenant if given.tenant is DEFAULT else check_text("tenant", given.tenant),
            owner=given.owner if given.owner is DEFAULT else check_text("owner", given.owner),
            priority=check_priority(given.priority),
            due_at=due_at,
            head_start=self._limits().head_start,
            deadline=deadline,
            preset=given.preset,
            parameters=self._mapping("parameters", given.parameters),
            metadata=self._mapping("metadata", given.metadata),
            correlation_id=_text("correlation_id", given.correlation_id),
            parent_job=None if given.parent is None else parse_id(given.parent),
            actor=_text("actor", given.actor),
            ordering_key=ordering_key,
            concurrency_key=concurrency_key,
        )

    async def _now(self, caller: Caller | None) -> datetime:
        if caller is not None:
            return await read_clock(caller)
        async with self._connections.use() as connection:
            return await read_clock(connection)

    def _mapping(self, option: str, values: Mapping[str, JsonValue] | None) -> str | None:
        return None if values is None else encode_mapping(option, values, self.payload_most)

    def _portions(
        self,
        pipeline: Pipeline[Any, Any],
        ids: Sequence[uuid_utils.UUID],
        values: Sequence[object],
    ) -> Iterator[Portion]:
        for first in range(0, len(values), PORTION):
            end = first + PORTION
            texts = encode_inputs(pipeline, values[first:end], self.payload_most, first=first)
            yield ids[first:end], texts, end >= len(values)


def parse_id(job: str | UUID) -> UUID:
    """The id of a job.

    Raises:
        JobNotFoundError: It cannot be one.
    """
    if isinstance(job, UUID):
        return job
    try:
        return UUID(job)
    except (ValueError, AttributeError, TypeError):
        raise JobNotFoundError(job) from None


def _text(option: str, text: str | None) -> str | None:
    return None if text is None else check_text(option, text)


def _announce(pipeline: Pipeline[Any, Any], shared: Shared, ids: Sequence[uuid_utils.UUID]) -> None:
    for job in ids:
        emit(
            Enqueued(
                job_id=UUID(int=job.int),
                run=1,
                pipeline=pipeline.name,
                version=pipeline.version,
                queue=shared.queue,
                tenant=shared.tenant,
                correlation_id=shared.correlation_id,
                source="client",
                priority=shared.priority,
                due_at=shared.due_at,
            )
        )


def _announce_keyed(
    pipeline: Pipeline[Any, Any],
    shared: Shared,
    wanted: Mapping[str, Keyed],
    found: Mapping[str, uuid_utils.UUID],
) -> None:
    new = {key: found[key] for key, job in wanted.items() if str(found[key]) == str(job.id)}
    if enabled(Enqueued):
        _announce(pipeline, shared, list(new.values()))
    if not enabled(IdempotentSkip):
        return
    for key in wanted.keys() - new.keys():
        emit(
            IdempotentSkip(
                job_id=UUID(str(found[key])),
                run=1,
                pipeline=pipeline.name,
                tenant=shared.tenant,
                reason="idempotency_key",
            )
        )
