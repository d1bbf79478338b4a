"""A call through a circuit breaker: whether it may begin, and what its end says."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Final

from headrace.errors import BreakerOpenError, DatabaseUnavailableError
from headrace.reliability.outage import describe
from headrace.store.breakers import ask, end_probe, report_failure
from headrace.telemetry.breaker_events import BreakerClosed, BreakerHalfOpen, BreakerOpened
from headrace.telemetry.events import emit

if TYPE_CHECKING:
    from headrace.reliability.breaker_view import View
    from headrace.reliability.surroundings import Surroundings
    from headrace.store.breakers import Key, Rules, Standing, Verdict
    from headrace.store.pool import Connection

RETRY_LEAST_S: Final = 0.5
"""A call that is turned away comes back after this at the soonest."""
SPREAD: Final = 0.1
SPREAD_MOST_S: Final = 3.0
"""Calls come back over a part of the time that they waited: not all at once, the first one soon."""
HELD_S: Final = 60.0
"""How often it is tried whether a breaker is still open that somebody has opened for good."""
SUSPENSE_S: Final = 1.0
"""How long a failed call waits to see whether others fail too: then there is an outage, and its job
has used no attempt."""
SUSPENSE_LOOK_S: Final = 0.1


@dataclass(slots=True, eq=False)
class Passage:
    """A call that was let through.

    Attributes:
        epoch: Of the state in which it began.
        probe: The number under which it is tried; None where the breaker was closed.
        is_over: Whether the call has ended.
    """

    around: Surroundings
    key: Key
    rules: Rules
    view: View
    epoch: int
    probe: int | None = None
    is_over: bool = False

    @property
    def worker_id(self) -> str | None:
        """As events have it."""
        return None if self.around.worker is None else str(self.around.worker)

    async def leave(self, verdict: Verdict, error: BaseException | None) -> BreakerOpenError | None:
        """Report what came of the call.

        Returns:
            What is to be raised in the place of `error`: the call failed because of an outage.
        """
        if self.probe is None and verdict != "failure":
            return None
        why = self._why(verdict, error)
        try:
            standing = await self.view.ask(
                lambda connection: self._report(connection, verdict, why)
            )
        except DatabaseUnavailableError:
            return None  # one failure less; the place of a try is free at its time
        tell(standing, self.key, why, self.worker_id)
        if verdict != "failure" or self.around.job is None or not isinstance(error, Exception):
            return None
        standing = await self._see(standing)
        return None if standing.state == "closed" else turned_away(self.key, standing, self.rules)

    async def _report(self, connection: Connection, verdict: Verdict, why: str) -> Standing:
        if self.probe is None:
            return await report_failure(
                connection, self.key, self.rules, epoch=self.epoch, why=why,
                worker=self.around.worker,
            )  # fmt: skip
        return await end_probe(
            connection, self.key, verdict, self.rules, epoch=self.epoch, probe=self.probe, why=why,
            worker=self.around.worker,
        )  # fmt: skip

    def _why(self, verdict: Verdict, error: BaseException | None) -> str:
        rules = self.rules
        if verdict == "success":
            return f"{rules.successes} calls went well"
        last = _said(error)
        if self.probe is not None:
            return f"the call that was tried failed: {last}"
        if rules.failures == 1:
            return f"a failure: {last}"
        return (
            f"{rules.failures} failures within {rules.within.total_seconds():g} s, "
            f"the last of them {last}"
        )

    async def _see(self, standing: Standing) -> Standing:
        """Wait a moment for the breaker to open, where this failure alone did not do it."""
        until = monotonic() + self._suspense_s()
        while standing.state == "closed" and standing.epoch == self.epoch and monotonic() < until:
            await asyncio.sleep(SUSPENSE_LOOK_S)
            try:
                standing = await self.view.read(unheard_s=SUSPENSE_LOOK_S)
            except DatabaseUnavailableError:
                break
        return standing

    def _suspense_s(self) -> float:
        most_s = self.rules.suspense.total_seconds()
        remaining = self.around.remaining
        return most_s if remaining is None else min(most_s, remaining().total_seconds() / 2)


async def enter(around: Surroundings, key: Key, rules: Rules, view: View) -> Passage:
    """Let a call through, or turn it away.

    Raises:
        BreakerOpenError: The breaker is open, or another call is being tried.
    """
    try:
        standing = await view.read()
        if standing.state != "closed":
            standing = await view.ask(lambda connection: ask(connection, key, around.worker, rules))
    except DatabaseUnavailableError as error:
        raise BreakerOpenError(key.name, timedelta(seconds=1 + _random())) from error
    passage = Passage(around, key, rules, view, standing.epoch, standing.probe)
    tell(standing, key, "time to try a call", passage.worker_id)
    if standing.state == "closed" or standing.probe is not None:
        return passage
    raise turned_away(key, standing, rules)


def turned_away(key: Key, standing: Standing, rules: Rules) -> BreakerOpenError:
    """What a call gets that is not let through; it tells when to come back."""
    if standing.retry_s is None:
        wait_s, spread_s = HELD_S, SPREAD * HELD_S
    elif standing.state == "open" and standing.retry_s > 0:
        wait_s = standing.retry_s
        spread_s = min(SPREAD_MOST_S, SPREAD * rules.open_for.total_seconds())
    else:
        wait_s = spread_s = max(RETRY_LEAST_S, standing.retry_s)
    wait_s += spread_s * _random()
    return BreakerOpenError(key.name, timedelta(seconds=wait_s))


def tell(standing: Standing, key: Key, why: str, worker: str | None) -> None:
    """Tell of a change that a statement made."""
    if not standing.changed:
        return
    tenant = key.tenant or None
    if standing.state == "open":
        emit(
            BreakerOpened(
                dependency=key.name,
                tenant=tenant,
                reason=why,
                worker_id=worker,
                retry_in_s=standing.retry_s,
            )
        )
    elif standing.state == "half_open":
        emit(BreakerHalfOpen(dependency=key.name, tenant=tenant, reason=why, worker_id=worker))
    else:
        emit(BreakerClosed(dependency=key.name, tenant=tenant, reason=why, worker_id=worker))


def _said(error: BaseException | None) -> str:
    if isinstance(error, asyncio.CancelledError):
        return "a step's time limit"
    return "no error" if error is None else describe(error)


def _random() -> float:
    return random.random()  # noqa: S311 - it spreads calls
