"""The keys of one issuer: fetched when they are needed, kept for 10 min.

After 5 min they are fetched again beside the requests, so that nobody waits and an issuer may be
away for 5 min without being missed. A token of a key that is not known has them fetched at once,
but no more than once a minute, whatever strangers write into their tokens.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import httpx2

from headrace.telemetry.events import emit
from headrace.telemetry.identity_events import IssuerKeysFetched, IssuerUnreachable
from headrace.web.auth.keys import KeySet, find_key, read_keys
from headrace.web.auth.refusal import KeysUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from jwt import PyJWK

    from headrace.settings.issuers import TrustedIssuer
    from headrace.web.auth.fetching import KeyFetcher

FRESH_S: Final = 300.0
KEPT_S: Final = 600.0
EARLY_S: Final = 60.0
"""Between two fetches for keys that are not known."""
PAUSE_S: Final = 5.0
"""After a fetch that failed."""
NEVER: Final = float("-inf")


class KeySource:
    """The keys of one issuer.

    Args:
        issuer: Whose.
        fetcher: Reads them.
        clock: Seconds that never go back.
    """

    def __init__(
        self, issuer: TrustedIssuer, fetcher: KeyFetcher, clock: Callable[[], float]
    ) -> None:
        self.issuer = issuer
        self.generation = 0
        """Of the keys: what was checked with others may not be good any more."""
        self._fetcher, self._clock = fetcher, clock
        self._keys: KeySet = {}
        self._fetched_at = self._early_at = self._failed_at = NEVER
        self.is_away = False
        """Whether it did not answer last."""
        self._fetching: asyncio.Task[bool] | None = None

    async def find(self, kid: str | None, algorithm: str) -> PyJWK | None:
        """The key that checks such a signature; None where the issuer has none.

        Raises:
            KeysUnavailableError: The issuer does not answer, and what is in hand does not tell.
        """
        before = self._fetched_at
        await self._freshen()
        key = find_key(self._keys, kid, algorithm)
        is_known = key is not None or any(known == kid for known, _ in self._keys)
        if is_known or before != self._fetched_at:
            return key
        if self._clock() - self._early_at >= EARLY_S:
            self._early_at = self._clock()
            await self._renew()
            return find_key(self._keys, kid, algorithm)
        if self.is_away:
            raise KeysUnavailableError
        return None

    def remaining_s(self) -> float:
        """How long the keys in hand may still be used."""
        return self._fetched_at + KEPT_S - self._clock()

    async def settle(self) -> None:
        """Return when no fetch is under way."""
        if self._fetching is not None:
            await asyncio.wait({self._fetching})

    async def close(self) -> None:
        """End a fetch that is under way."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)

    async def _freshen(self) -> None:
        age = self._clock() - self._fetched_at
        if age >= KEPT_S:
            await self._renew()
        elif age >= FRESH_S:
            self._begin()

    async def _renew(self) -> None:
        fetching = self._begin()
        # One that leaves meanwhile does not take the answer from the others.
        if fetching is None or not await asyncio.shield(fetching):
            raise KeysUnavailableError

    def _begin(self) -> asyncio.Task[bool] | None:
        """The fetch that is under way, if need be a new one; None right after one that failed."""
        if self._fetching is None:
            if self._clock() - self._failed_at < PAUSE_S:
                return None
            self._fetching = asyncio.create_task(self._fetch(), name="headrace issuer keys")
            self._fetching.add_done_callback(self._end)
        return self._fetching

    def _end(self, _: asyncio.Task[bool]) -> None:
        self._fetching = None

    async def _fetch(self) -> bool:
        name = self.issuer.issuer
        try:
            document = await self._fetcher.fetch(self.issuer)
            self._keys = read_keys(document, self.issuer.algorithms)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            self._failed_at, self.is_away = self._clock(), True
            emit(IssuerUnreachable(issuer=name, error=f"{type(error).__name__}: {error}"))
            return False
        self._fetched_at, self.is_away = self._clock(), False
        self.generation += 1
        emit(IssuerKeysFetched(issuer=name, keys=len(self._keys)))
        return True
