"""Requests of one address in a minute: a guard inside the process that needs no database."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from headrace.web.gate.paths import PUSH, calls_back
from headrace.web.problems import ProblemError

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

WINDOW_S: Final = 60.0
MOST_ADDRESSES: Final = 100_000
"""Counted on their own in a minute; those beyond share one count."""
Kind: TypeAlias = Literal["submit", "status", "health", "other"]
LOOKS: Final = frozenset({"GET", "HEAD"})
SERVICE: Final = frozenset({"/health", "/ready", "/metrics"})


@dataclass(frozen=True, slots=True)
class AddressRates:
    """Most requests a minute from one address, by kind; 0 counts nothing."""

    submit: int
    status: int
    health: int
    other: int


class RateGate:
    """Answers 429 to an address that asks too often.

    Args:
        app: The layers below.
        rates: How often is too often.
        submits: Whether a method and path submit a job.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        rates: AddressRates,
        submits: Callable[[str, str], bool],
        clock: Callable[[], float],
    ) -> None:
        self._app, self._submits, self._clock = app, submits, clock
        self._most: dict[Kind, int] = {
            "submit": rates.submit,
            "status": rates.status,
            "health": rates.health,
            "other": rates.other,
        }
        self._counts: dict[tuple[str, Kind], int] = {}
        self._window_ends = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count a request, and pass it on if it is not one too many."""
        if scope["type"] == "http" and not _is_exempt(scope):
            refusal = self._count(scope)
            if refusal is not None:
                await refusal.problem().response(scope)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _count(self, scope: Scope) -> ProblemError | None:
        kind = self._kind(scope["method"], scope["path"])
        most = self._most[kind]
        if not most:
            return None
        now = self._clock()
        if now >= self._window_ends:
            self._counts.clear()
            self._window_ends = now + WINDOW_S
        key = (_address(scope), kind)
        if key not in self._counts and len(self._counts) >= MOST_ADDRESSES:
            key = ("", kind)
        count = self._counts.get(key, 0) + 1
        self._counts[key] = count
        if count <= most:
            return None
        wait = str(max(1, ceil(self._window_ends - now)))
        return ProblemError(
            "RATE_LIMITED",
            f"at most {most:,} such requests a minute from one address",
            headers={
                "Retry-After": wait,
                "RateLimit-Limit": str(most),
                "RateLimit-Remaining": "0",
                "RateLimit-Reset": wait,
            },
        )

    def _kind(self, method: str, path: str) -> Kind:
        if method == "POST":
            return "submit" if self._submits(method, path) else "other"
        if path.startswith("/v1/jobs/") and method in LOOKS:
            return "status"
        return "health" if path in SERVICE else "other"


def _is_exempt(scope: Scope) -> bool:
    """Whether a request is of a system that calls from a few addresses, and proves who it is."""
    return scope["path"] == PUSH or calls_back(scope["method"], scope["path"])


def _address(scope: Scope) -> str:
    client = scope["client"]
    host: str = client[0] if client else ""
    if ":" not in host:
        return host
    # One household or one machine has a whole /64: single addresses would be no limit.
    try:
        return str(ipaddress.IPv6Network((host.partition("%")[0], 64), strict=False))
    except ValueError:
        return host
