"""Submission under idempotency keys: the same key with the same input is the same job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from uuid_utils import uuid7

from headrace.client.options import LONGEST_KEY, check_text
from headrace.errors import CodecError, IdempotencyKeyReusedError, OptionError
from headrace.store.jobs import find_keys, insert_keyed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from uuid_utils import UUID

    from headrace.model.pipeline import Pipeline
    from headrace.store.callers import Caller
    from headrace.store.jobs import KeyOwner, Shared
    from headrace.store.pool import HeldConnection

PORTION: Final = 1_000


@dataclass(frozen=True, slots=True)
class Keyed:
    """One job to be stored, unless its key is taken."""

    id: UUID
    key: str
    text: str


def pair_keys(texts: Sequence[str], keys: Sequence[str]) -> dict[str, Keyed]:
    """One job for each key.

    Raises:
        OptionError: There are not as many keys as inputs, or one cannot be used.
        IdempotencyKeyReusedError: Two inputs that differ have the same key.
    """
    if len(keys) != len(texts):
        raise OptionError("idempotency_keys", f"{len(keys)} keys for {len(texts)} inputs")
    wanted: dict[str, Keyed] = {}
    for key, text in zip(keys, texts, strict=True):
        known = wanted.get(key)
        if known is None:
            wanted[key] = Keyed(uuid7(), check_text("idempotency_key", key, LONGEST_KEY), text)
        elif known.text != text:
            raise IdempotencyKeyReusedError(key)
    return wanted


async def store_keyed(
    connection: HeldConnection | Caller,
    pipeline: Pipeline[Any, Any],
    wanted: Mapping[str, Keyed],
    shared: Shared,
    *,
    ring: bool,
) -> dict[str, UUID]:
    """Store the jobs whose keys are free.

    Returns:
        The job of each key: the new one, or the one that has it.

    Raises:
        IdempotencyKeyReusedError: A job with another input or of another pipeline has a key. Jobs
            of free keys may be stored: the caller rolls back.
    """
    found: dict[str, UUID] = {}
    left = list(wanted.values())
    while left:
        for first in range(0, len(left), PORTION):
            part = left[first : first + PORTION]
            stored = await insert_keyed(
                connection,
                [job.id for job in part],
                [job.text for job in part],
                [job.key for job in part],
                shared,
                ring=ring,
            )
            found.update({job.key: job.id for job in part if str(job.id) in stored})
        taken = [job for job in left if job.key not in found]
        if taken:
            keys = [job.key for job in taken]
            owners = await find_keys(connection, shared.tenant, shared.owner, keys)
            found.update(
                {job.key: _owner_of(job, pipeline, owners) for job in taken if job.key in owners}
            )
        # Still left: the transaction that had the key was rolled back, or its job was erased.
        left = [job for job in taken if job.key not in found]
    return found


def _owner_of(job: Keyed, pipeline: Pipeline[Any, Any], owners: Mapping[str, KeyOwner]) -> UUID:
    owner = owners[job.key]
    if owner.pipeline != pipeline.name or not _is_same(pipeline, owner.input, job.text):
        raise IdempotencyKeyReusedError(job.key)
    return owner.job


def _is_same(pipeline: Pipeline[Any, Any], stored: str, text: str) -> bool:
    """Whether two encoded inputs mean the same; an older version may have written one of them."""
    if stored == text:
        return True
    try:
        return bool(pipeline.input.decode(stored) == pipeline.input.decode(text))
    except CodecError:
        return False
