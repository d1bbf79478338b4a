"""Reading the keys of an identity provider over HTTP, within limits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import httpx2

from headrace.client.strict import load_strict
from headrace.settings.issuers import is_safe_address

if TYPE_CHECKING:
    from headrace.settings.issuers import TrustedIssuer

FETCH_S: Final = 5.0
MOST_BYTES: Final = 256 * 1_024
DISCOVERY: Final = "/.well-known/openid-configuration"
HEADERS: Final = {"Accept": "application/json", "Accept-Encoding": "identity"}


class KeyFetcher:
    """Reads key sets from where the settings say, and from nowhere else.

    No redirects, no proxies, no address out of a token.

    Args:
        limit_s: Seconds for everything: discovery, connecting, the last byte.
    """

    def __init__(self, limit_s: float = FETCH_S) -> None:
        self._limit_s = limit_s
        self._client: httpx2.AsyncClient | None = None

    async def fetch(self, issuer: TrustedIssuer) -> object:
        """The key set of an issuer, as JSON.

        Raises:
            httpx2.HTTPError: It does not answer, or with an error.
            TimeoutError: It took too long.
            ValueError: The answer is no JSON, too large, or not what it should be.
        """
        async with asyncio.timeout(self._limit_s):
            address = issuer.jwks_url or await self._discover(issuer.issuer)
            return await self._get(address)

    async def close(self) -> None:
        """Close its connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _discover(self, issuer: str) -> str:
        document = await self._get(issuer.rstrip("/") + DISCOVERY)
        if not isinstance(document, dict) or document.get("issuer") != issuer:
            raise ValueError("the discovery document is of another issuer")
        address = document.get("jwks_uri")
        if not isinstance(address, str) or not is_safe_address(address):
            raise ValueError("the discovery document names no safe address of keys")
        # Only who is on this machine itself may send us to this machine.
        if issuer.startswith("https:") and not address.startswith("https:"):
            raise ValueError("the discovery document leads away from TLS")
        return address

    async def _get(self, address: str) -> Any:  # noqa: ANN401 - JSON
        if self._client is None:
            self._client = httpx2.AsyncClient(
                headers=HEADERS, timeout=self._limit_s, trust_env=False
            )
        async with self._client.stream("GET", address) as answer:
            if answer.status_code != httpx2.codes.OK:
                raise ValueError(f"status {answer.status_code}")
            # Unpacked, a small answer could be of any size.
            if answer.headers.get("content-encoding", "identity") != "identity":
                raise ValueError("the answer is compressed")
            body = bytearray()
            async for chunk in answer.aiter_raw():
                body += chunk
                if len(body) > MOST_BYTES:
                    raise ValueError(f"the answer has more than {MOST_BYTES:,} bytes")
        return load_strict(body)
