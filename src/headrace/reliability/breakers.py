"""What operators do to breakers: open them, and close them again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from headrace.store.audit import Action, record_action
from headrace.store.breakers import set_breaker
from headrace.telemetry.breaker_events import BreakerClosed, BreakerOpened
from headrace.telemetry.events import emit

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta

    from headrace.store.breakers import SetBreaker
    from headrace.store.pool import HeldConnection


async def change_breaker(
    connection: HeldConnection,
    name: str,
    state: Literal["open", "closed"],
    *,
    tenant: str | None = None,
    open_for: timedelta | None = None,
    reason: str | None,
    actor: str,
) -> list[SetBreaker]:
    """Open or close a breaker by hand, tell of it, and keep in the audit who did it.

    Args:
        connection: Outside of a transaction.
        name: Its name.
        state: What it is to be.
        tenant: For whom; None for all that there are of this name.
        open_for: How long it is open; None until somebody closes it.
        reason: Why.
        actor: Who.

    Raises:
        BreakerNotFoundError: No call has used such a breaker yet.
    """
    async with connection.transaction():
        done = await set_breaker(
            connection, name, state, tenant=tenant, open_for=open_for, actor=actor,
            why=reason or "by hand",
        )  # fmt: skip
        word = "breaker.trip" if state == "open" else "breaker.reset"
        before, after = states_of(done)
        target = name if tenant is None else f"{name} of {tenant}"
        await record_action(
            connection, Action(actor, word, target, reason, before=before, after=after)
        )
    tell_of(name, done, reason or "by hand", open_for)
    return done


def states_of(done: Iterable[SetBreaker]) -> tuple[dict[str, str], dict[str, str]]:
    """For the audit: how the breakers were, and how they are, by tenant."""
    every = list(done)
    return (
        {one.tenant: one.from_state for one in every},
        {one.tenant: one.state for one in every},
    )


def tell_of(
    name: str, done: Iterable[SetBreaker], why: str, open_for: timedelta | None = None
) -> None:
    """Tell of breakers that were changed by hand, once that is committed."""
    for one in done:
        tenant = one.tenant or None
        if one.state == "open":
            retry_in_s = None if open_for is None else open_for.total_seconds()
            emit(BreakerOpened(dependency=name, tenant=tenant, reason=why, retry_in_s=retry_in_s))
        else:
            emit(BreakerClosed(dependency=name, tenant=tenant, reason=why))
