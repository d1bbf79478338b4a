"""A lock that this process holds: for how long it may believe that, and who hears of its loss."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Final

from headrace.store.elapsed import clock_s
from headrace.telemetry.events import emit
from headrace.telemetry.lock_events import LockLost

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from headrace.store.locks import Claimant, Standing

RENEWALS: Final = 3
"""A lease is renewed when a third of it is over."""
FENCE: Final = 0.9
"""The part of a lease after which it counts as lost here, so that the work ends before it does."""


@dataclass(frozen=True, slots=True)
class Request:
    """Somebody asks for a lock.

    Attributes:
        ttl: Of the lease.
        wait_s: How long to wait for the present holder; 0: not at all.
    """

    tenant: str
    key: str
    claimant: Claimant
    ttl: timedelta
    wait_s: float

    @property
    def place(self) -> tuple[str, str]:
        """Which lock it is."""
        return self.tenant, self.key

    def waiting_at_most(self, seconds: float) -> Request:
        """The same, with no more patience than this."""
        return replace(self, wait_s=min(self.wait_s, seconds))


@dataclass(slots=True, eq=False)
class Lease:
    """A lock that was granted.

    Attributes:
        token: Grows with every grant of the key.
        expires_at: When the lease ends by the database's clock, as of the last renewal.
        until_s: When it is lost here unless it is renewed, by this machine's clock.
        renew_at_s: When it is to be renewed.
        lost_by: Why it was lost; None while it is held.
        is_over: Whether it was given back.
        on_lost: Called on the loop when it is lost.
    """

    request: Request
    token: int
    expires_at: datetime
    until_s: float
    renew_at_s: float
    lost_by: str | None = None
    is_over: bool = False
    on_lost: Callable[[], None] | None = None
    granted_s: float = field(default_factory=monotonic)
    _timer: asyncio.TimerHandle | None = None

    @classmethod
    def of(cls, request: Request, standing: Standing, sent_s: float) -> Lease:
        """The lease of a grant that was asked for at `sent_s`: the server began to count later."""
        lease = cls(request, standing.token, standing.expires_at, 0.0, 0.0)
        lease._hold_until(sent_s, request.ttl.total_seconds())
        return lease

    @property
    def is_lost(self) -> bool:
        """Whether others may hold the lock by now."""
        return self.lost_by is not None or (not self.is_over and clock_s() >= self.until_s)

    def renewed(self, sent_s: float) -> None:
        """The server was asked at `sent_s` to begin a new lease, and did."""
        self._hold_until(sent_s, self.request.ttl.total_seconds())

    def extended(self, expires_at: datetime, left_s: float, sent_s: float) -> None:
        """The server says that the lease has `left_s` seconds left."""
        self.expires_at = expires_at
        self.until_s = max(self.until_s, sent_s + FENCE * left_s)
        self._arm()

    def lose(self, cause: str) -> None:
        """Others may hold the lock from now on."""
        if self.lost_by is not None or self.is_over:
            return
        self.lost_by = cause
        self.end_timer()
        request = self.request
        worker = request.claimant.worker
        emit(
            LockLost(
                tenant=request.tenant,
                key=request.key,
                token=self.token,
                cause=cause,
                worker_id=None if worker is None else str(worker),
                job_id=request.claimant.job,
            )
        )
        if self.on_lost is not None:
            self.on_lost()

    def end_timer(self) -> None:
        """Look no more whether it is renewed in time."""
        if self._timer is not None:
            self._timer.cancel()

    def _hold_until(self, sent_s: float, left_s: float) -> None:
        self.until_s = max(self.until_s, sent_s + FENCE * left_s)
        self.renew_at_s = sent_s + left_s / RENEWALS
        self._arm()

    def _arm(self) -> None:
        self.end_timer()
        pause_s = max(0.0, self.until_s - clock_s())
        self._timer = asyncio.get_running_loop().call_later(pause_s, self._look)

    def _look(self) -> None:
        if clock_s() >= self.until_s:
            self.lose("not_renewed")
        elif self.lost_by is None and not self.is_over:
            self._arm()
