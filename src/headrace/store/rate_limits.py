"""Buckets of rate limits: shared by all workers, judged by the database's clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from headrace.store.sql import SQL
from headrace.store.workers import affected

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from headrace.store.pool import Connection

IN_PLACE_S: Final = 1.0
"""A call that has its turn within this time waits for it; others are sent away."""
EARLY_S: Final = 0.5
"""So much before its turn a call that was sent away comes back: it may be late by as much without
a gap in what passes."""
BUCKETS_KEPT: Final = timedelta(days=7)
PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class BucketKey:
    """Which bucket; tenant '' is shared by all tenants."""

    name: str
    tenant: str


@dataclass(frozen=True, slots=True)
class Numbers:
    """What the code says of a limit; what operators set goes before.

    Attributes:
        requests: In `per_s` seconds.
        tokens: In `per_s` seconds; None: any number.
        per_s: Seconds to which those belong.
        burst_s: Size of the bucket: what flows in during so many seconds.
        concurrent: Calls at a time; None: any number.
    """

    requests: float
    tokens: float | None
    per_s: float
    burst_s: float
    concurrent: int | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """What one call asks of a bucket.

    Attributes:
        is_back: Whether the caller was sent away before: it keeps its place before newcomers.
    """

    requests: float
    tokens: float
    is_back: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """What a call got.

    Attributes:
        goes: Whether the amounts were taken.
        wait_s: Seconds from now: after them it goes, or is to come back.
        is_held: Whether the dependency asked to be left alone.
        concurrent: Calls at a time; None: any number.
    """

    goes: bool
    wait_s: float
    is_held: bool
    concurrent: int | None


@dataclass(frozen=True, slots=True)
class Slot:
    """One of the calls that may be under way at a time."""

    number: int
    holder: int


@dataclass(frozen=True, slots=True)
class LimitStatus:
    """A limit as it is now.

    Attributes:
        name: Of the limit.
        tenant: Whose bucket it is; empty where all tenants share it.
        requests: In `per_s` seconds; None where nobody used it yet and no operator set it.
        tokens: In `per_s` seconds; None: any number.
        per_s: Seconds to which those belong.
        burst_s: Size of the bucket, in seconds of what flows in.
        concurrent: Calls at a time; None: any number.
        requests_left: In the bucket; below zero: promised to callers that wait.
        tokens_left: The same.
        held_until: Until when a dependency asked to be left alone.
        slots_taken: Calls under way, where their number is limited.
        set_by: The operator who set numbers; None where all are the code's.
        reason: Why.
        set_at: When.
    """

    name: str
    tenant: str
    requests: float | None
    tokens: float | None
    per_s: float | None
    burst_s: float | None
    concurrent: int | None
    requests_left: float | None
    tokens_left: float | None
    held_until: datetime | None
    slots_taken: int
    set_by: str | None
    reason: str | None
    set_at: datetime | None


async def reserve(
    connection: Connection,
    key: BucketKey,
    numbers: Numbers,
    wishes: Sequence[Wish],
    *,
    back: tuple[float, float] = (0.0, 0.0),
) -> list[Turn]:
    """Take from a bucket for several calls, in their order; make it where there is none.

    Args:
        connection: Outside of a transaction: the bucket is locked until it commits.
        key: Which bucket.
        numbers: Those of the code.
        wishes: What the calls ask for; may be empty where only something is given back.
        back: Requests and tokens given back by earlier calls, that used less; below zero: more.
    """
    given = (
        key.name,
        key.tenant,
        [wish.requests for wish in wishes],
        [wish.tokens for wish in wishes],
        [wish.is_back for wish in wishes],
        numbers.requests,
        numbers.tokens,
        numbers.per_s,
        numbers.burst_s,
        numbers.concurrent,
        *back,
        IN_PLACE_S,
        EARLY_S,
    )
    rows = await connection.fetch(SQL["rate_limits.reserve"], *given)
    if not rows:
        await open_bucket(connection, key, numbers)
        rows = await connection.fetch(SQL["rate_limits.reserve"], *given)
    return [Turn(*row) for row in rows[: len(wishes)]]


async def open_bucket(connection: Connection, key: BucketKey, numbers: Numbers) -> None:
    """Make a full bucket where there is none."""
    await connection.execute(
        SQL["rate_limits.open_bucket"],
        key.name,
        key.tenant,
        numbers.requests,
        numbers.tokens,
        numbers.per_s,
        numbers.burst_s,
        numbers.concurrent,
    )


async def hold(
    connection: Connection, key: BucketKey, numbers: Numbers, *, lasts: timedelta
) -> float:
    """Empty a bucket for everybody, and let nothing in for some time; a longer hold stands.

    Returns:
        Seconds until it fills again.
    """
    held_s = await connection.fetchval(SQL["rate_limits.hold"], key.name, key.tenant, lasts)
    if held_s is None:
        await open_bucket(connection, key, numbers)
        held_s = await connection.fetchval(SQL["rate_limits.hold"], key.name, key.tenant, lasts)
    return float(held_s)


async def take_slot(
    connection: Connection,
    key: BucketKey,
    concurrent: int,
    *,
    worker: int | None,
    job: UUID | None,
    lasts: timedelta,
    holder: int,
) -> Slot | None:
    """Take a slot of a limit on calls at a time; said twice by one holder, it is the same slot.

    Args:
        connection: Any.
        key: Which limit.
        concurrent: Slots in all.
        worker: To whose life it is bound.
        job: For people.
        lasts: How long it is kept at most where there is no worker.
        holder: A number that no other call has.

    Returns:
        The slot; None where all are taken, or another was faster: ask again.
    """
    row = await connection.fetchrow(
        SQL["rate_limits.take_slot"],
        key.name,
        key.tenant,
        concurrent,
        worker,
        job,
        lasts,
        holder,
    )
    return None if row is None else Slot(*row)


async def free_slot(connection: Connection, key: BucketKey, holder: int) -> None:
    """Give a holder's slot back, if it has one."""
    await connection.execute(SQL["rate_limits.free_slot"], key.name, key.tenant, holder)


async def list_limits(connection: Connection, *, limit: int = 1_000) -> list[LimitStatus]:
    """Every limit that was used or set, by name and tenant."""
    rows = await connection.fetch(SQL["rate_limits.list_limits"], limit)
    return [LimitStatus(**row) for row in rows]


async def set_limit(
    connection: Connection,
    key: BucketKey,
    *,
    requests: float | None,
    tokens: float | None,
    per_s: float | None,
    burst_s: float | None,
    concurrent: int | None,
    by: str,
    reason: str | None,
) -> None:
    """Set numbers in place of the code's, for one tenant or, with tenant '', for all others.

    A number that is None is the code's. They hold from the next call on.
    """
    await connection.execute(
        SQL["rate_limits.set_limit"],
        key.name,
        key.tenant,
        requests,
        tokens,
        per_s,
        burst_s,
        concurrent,
        by,
        reason,
    )


async def clear_limit(connection: Connection, key: BucketKey) -> bool:
    """Leave all numbers to the code again; False where none was set."""
    done = await connection.execute(SQL["rate_limits.clear_limit"], key.name, key.tenant)
    return bool(affected(done))


async def prune_limits(connection: Connection, *, limit: int = PAGE) -> int:
    """Delete some buckets and slots that nobody uses any more; returns how many."""
    removed = affected(
        await connection.execute(SQL["rate_limits.prune_limits"], BUCKETS_KEPT, limit)
    )
    return removed + affected(await connection.execute(SQL["rate_limits.prune_slots"], limit))
