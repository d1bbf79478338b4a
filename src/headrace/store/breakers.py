"""Circuit breakers: one row for each, which all workers share.

A statement decides, by the database's clock, and returns how the breaker is then. What is reported
names the epoch in which its call began, so that calls of an earlier state change nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from headrace.errors import BreakerNotFoundError
from headrace.store.sql import SQL
from headrace.store.workers import affected

if TYPE_CHECKING:
    from datetime import datetime

    from headrace.store.pool import Connection

State: TypeAlias = Literal["closed", "open", "half_open"]
Verdict: TypeAlias = Literal["success", "failure", "neither"]
KEPT: Final = timedelta(days=90)
PAGE: Final = 500
NAMES_MOST: Final = 200


@dataclass(frozen=True, slots=True)
class Key:
    """Which breaker."""

    name: str
    tenant: str
    """Empty where all tenants share it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """When a breaker opens and closes.

    Attributes:
        failures: Failures that open it.
        within: The time within which they happen.
        open_for: How long it lets no call through.
        successes: Calls that go well and close it.
        probe_timeout: How long a call that is tried keeps all others out.
        suspense: How long a failed call waits to see whether others fail too: then there is an
            outage, and its job has used no attempt.
    """

    failures: int = 5
    within: timedelta = timedelta(seconds=60)
    open_for: timedelta = timedelta(seconds=30)
    successes: int = 2
    probe_timeout: timedelta = timedelta(seconds=30)
    suspense: timedelta = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a breaker is.

    Attributes:
        state: Its state.
        epoch: The number of this state.
        retry_s: Seconds until it is worth asking again; None while it is open until somebody
            resets it.
        changed: Whether the statement that returned this has changed the state.
        probe: The number under which a call is tried, if it may be.
    """

    state: State
    epoch: int
    retry_s: float | None
    changed: bool = False
    probe: int | None = None


@dataclass(frozen=True, slots=True)
class SetBreaker:
    """A breaker that was opened or closed by hand."""

    tenant: str
    from_state: State
    state: State
    probe_at: datetime | None


@dataclass(frozen=True, slots=True)
class BreakerRow:
    """A breaker as people read it.

    Attributes:
        name: What its calls depend on.
        tenant: Whose it is; empty where all tenants share it.
        state: `closed`, `open` or `half_open`.
        changed_at: Since when.
        why: What brought it there.
        probe_at: When a call is tried; None while it is not open, or open until it is reset.
        probes: Calls that were tried since it was last half open.
        failures: Failures that count towards opening it; those that are too old by now included.
        successes: Calls that went well since it was last half open.
        probing: Whether a call is being tried.
    """

    name: str
    tenant: str
    state: State
    changed_at: datetime
    why: str
    probe_at: datetime | None
    probes: int
    failures: int
    successes: int
    probing: bool


async def look(connection: Connection, key: Key) -> Standing:
    """How a breaker is; one that is new is made, and closed."""
    while True:
        row = await connection.fetchrow(SQL["breakers.look"], key.name, key.tenant)
        if row is not None:
            return Standing(*row)
        await connection.execute(SQL["breakers.make"], key.name, key.tenant)


async def ask(connection: Connection, key: Key, worker: int | None, rules: Rules) -> Standing:
    """Ask for a call to be tried; how the breaker is then, and under which number it is tried.

    Args:
        connection: Outside of a transaction, like all statements about breakers.
        key: Which breaker.
        worker: With whose life the try is over, besides its time.
        rules: The breaker's.
    """
    row = await connection.fetchrow(
        SQL["breakers.ask"], key.name, key.tenant, worker, rules.probe_timeout
    )
    return await look(connection, key) if row is None else Standing(*row)


async def report_failure(
    connection: Connection, key: Key, rules: Rules, *, epoch: int, why: str, worker: int | None
) -> Standing:
    """Count a failure of a call that began in a closed state.

    Args:
        connection: Where.
        key: Which breaker.
        rules: When it opens.
        epoch: Of the state in which the call began.
        why: What is said of it if this opens it.
        worker: Whose call it was.
    """
    row = await connection.fetchrow(
        SQL["breakers.fail"], key.name, key.tenant, epoch, rules.failures, rules.within,
        rules.open_for, why, worker,
    )  # fmt: skip
    return await look(connection, key) if row is None else Standing(*row)


async def end_probe(
    connection: Connection,
    key: Key,
    verdict: Verdict,
    rules: Rules,
    *,
    epoch: int,
    probe: int,
    why: str,
    worker: int | None,
) -> Standing:
    """Tell what came of a call that was tried.

    Args:
        connection: Where.
        key: Which breaker.
        verdict: What came of it.
        rules: When it closes.
        epoch: Of the state in which the call began.
        probe: The number of the try.
        why: What is said of it if this opens or closes it.
        worker: Whose call it was.
    """
    row = await connection.fetchrow(
        SQL["breakers.end_probe"], key.name, key.tenant, epoch, probe, verdict, rules.successes,
        rules.open_for, why, worker,
    )  # fmt: skip
    return await look(connection, key) if row is None else Standing(*row)


async def set_breaker(
    connection: Connection,
    name: str,
    state: Literal["open", "closed"],
    *,
    tenant: str | None,
    open_for: timedelta | None = None,
    why: str,
    actor: str,
) -> list[SetBreaker]:
    """Open or close a breaker by hand.

    Args:
        connection: Where; may be in a transaction.
        name: Its name.
        state: What it is to be.
        tenant: For whom; None for all that there are of this name.
        open_for: How long it is open; None until somebody closes it.
        why: The reason.
        actor: Who does it.

    Raises:
        BreakerNotFoundError: No call has used such a breaker yet.
    """
    rows = await connection.fetch(
        SQL["breakers.set_state"], name, tenant, state, open_for, why, actor
    )
    if not rows:
        names = [row["name"] for row in await connection.fetch(SQL["breakers.names"])]
        raise BreakerNotFoundError(name if tenant is None else f"{name} of {tenant}", names)
    return [SetBreaker(**row) for row in rows]


async def list_breakers(
    connection: Connection, *, name: str | None = None, limit: int = 1_000
) -> list[BreakerRow]:
    """How breakers are: those first that are not closed, then by name and tenant."""
    rows = await connection.fetch(SQL["breakers.list"], name, limit)
    return [BreakerRow(**row) for row in rows]


async def count_breakers(connection: Connection) -> dict[tuple[str, ...], int]:
    """How many breakers of each name are in each state, those of all tenants together.

    Of 200 names at most: who reads them keeps a series for each.
    """
    counts: dict[tuple[str, ...], int] = {}
    for row in await connection.fetch(SQL["breakers.count_states"], NAMES_MOST):
        for state in get_args(State):
            counts.setdefault((row["name"], state), 0)
        counts[row["name"], row["state"]] = row["breakers"]
    return counts


async def prune_breakers(connection: Connection, *, limit: int = PAGE) -> int:
    """Delete some of what became of breakers over 90 days ago; returns how many rows."""
    async with connection.transaction():
        await connection.execute(SQL["retention.allow_deletion"])
        removed = affected(await connection.execute(SQL["breakers.prune_changes"], KEPT, limit))
        closed = affected(await connection.execute(SQL["breakers.prune_closed"], KEPT, limit))
    return max(removed, closed)
