"""Values that are sent to jobs: checked by the code of their pipeline, then stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.client.encoding import encode_value
from headrace.errors import (
    JobFinishedError,
    JobNotFoundError,
    LeaseLostError,
    SignalNotFoundError,
)
from headrace.model.fate import Fate
from headrace.store.signalling import find_addressee, send_signal
from headrace.telemetry.events import emit, enabled
from headrace.telemetry.wait_events import SignalReceived

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from headrace.model.pipeline import Pipeline
    from headrace.store.connections import Connections
    from headrace.store.pool import Connection


def encode_signal(pipeline: Pipeline[Any, Any], name: str, value: object, limit: int) -> str:
    """The stored form of a value that is sent.

    Raises:
        SignalNotFoundError: No step of the pipeline waits for this name.
        InputError: The value does not fit, or takes more than `limit` bytes.
    """
    signal = pipeline.signals.get(name)
    if signal is None:
        raise SignalNotFoundError(name, tuple(pipeline.signals))
    return encode_value(signal.codec, name, value, limit)


async def send(
    connection: Connection,
    job: UUID,
    name: str,
    encode: Callable[[str], str],
    *,
    actor: str,
    ring: Callable[[str], None],
) -> Fate:
    """Send a value to a job; see `Client.send`.

    Args:
        connection: Where.
        job: The job.
        name: The signal's.
        encode: Gives the value's stored form for a pipeline's name.
        actor: Who sends it.
        ring: Rings for a queue, where the database does not.
    """
    to = await find_addressee(connection, job)
    if to is None:
        raise JobNotFoundError(job)
    fate = await send_signal(connection, job, name, encode(to.pipeline), sender=actor)
    tell_of_signal(job, name, fate, actor=actor, pipeline=to.pipeline, queue=to.queue)
    if fate is Fate.MISSING:
        raise JobNotFoundError(job)
    if fate is Fate.ENDED:
        raise JobFinishedError(job)
    if fate is Fate.STORED:
        ring(to.queue)
    return fate


def tell_of_signal(
    job: UUID, name: str, fate: Fate, *, actor: str, pipeline: str, queue: str
) -> None:
    """Tell telemetry what became of a value."""
    if fate is not Fate.MISSING and enabled(SignalReceived):
        emit(
            SignalReceived(
                job_id=job,
                pipeline=pipeline,
                queue=queue,
                signal_name=name,
                actor=actor,
                outcome=str(fate),
            )
        )


async def send_from_step(
    connections: Connections, job: UUID, token: int, name: str, text: str, *, sender: str
) -> Fate:
    """Send a value that is encoded already from a step to its own job.

    Raises:
        LeaseLostError: The job has passed to another worker.
    """
    async with connections.use() as connection:
        fate = await send_signal(connection, job, name, text, sender=sender, token=token)
    if fate in {Fate.STALE, Fate.MISSING}:
        raise LeaseLostError(f"job {job}", token)
    return fate
