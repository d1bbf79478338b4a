"""The client of all calls to addresses that strangers name.

A name is resolved once, each of its addresses is checked, and the connection goes to one that was
checked: whoever changes the name afterwards changes nothing. The certificate is that of the name.
No redirects, no proxies of the environment, no cookies, nothing unpacked; a limit to everything.
Needs `headrace[server]`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import httpx2

from headrace.egress.resolving import SystemResolver, locate
from headrace.egress.target import Rules, parse_target
from headrace.errors import UnavailableError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping, Sequence

    from headrace.egress.addresses import Address
    from headrace.egress.resolving import Resolver
    from headrace.egress.target import Target

KIB: Final = 1_024
MOST_TRIED: Final = 3
"""Addresses of one host that are tried in one call."""
LONGEST_REASON: Final = 200
FORBIDDEN_IN_HEADERS: Final = frozenset("\r\n\x00")


class CallError(UnavailableError):
    """The other side gave no answer that can be used; whether it got the call is not known."""

    code = "call_failed"


class NotConnectedError(CallError):
    """No connection came about: the other side got nothing."""

    code = "not_connected"


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a call may take, and how much of its answer is read.

    Attributes:
        total_s: Seconds for everything, from the name to the last byte.
        connect_s: Seconds for a connection and its TLS, each.
        answer_bytes: Bytes of the body that are read; the rest is left.
    """

    total_s: float = 10.0
    connect_s: float = 3.0
    answer_bytes: int = 64 * KIB


@dataclass(frozen=True, slots=True)
class Answer:
    """What the other side answered; a stranger's words.

    Attributes:
        status: 200 to 599.
        headers: By name in lower case; of one that came twice, both with a comma.
        body: As it came: packed if it was packed.
        is_cut: Whether there was more of it.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    is_cut: bool


@dataclass(frozen=True, slots=True)
class _Letter:
    """What is sent, wherever it goes."""

    method: str
    body: bytes
    headers: Mapping[str, str]


class Egress:
    """Calls addresses that strangers name.

    Args:
        rules: What may be called besides public hosts by TLS.
        limits: Of each call.
        resolver: Knows the addresses of hosts; the machine's own if left out.
        tls: Whose certificates are believed; those of the machine if left out.
    """

    def __init__(
        self,
        rules: Rules | None = None,
        *,
        limits: Limits | None = None,
        resolver: Resolver | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.rules, self._limits = rules or Rules(), limits or Limits()
        self._resolver = resolver or SystemResolver()
        # Connections are not kept: one to an address would serve every name that leads there.
        self._transport = httpx2.AsyncHTTPTransport(
            verify=tls or httpx2.create_ssl_context(trust_env=False),
            trust_env=False,
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=0),
        )

    async def close(self) -> None:
        """Close what is open; calls that are under way fail."""
        await self._transport.aclose()
        await self._resolver.close()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send a body to an address, and read the answer.

        Args:
            url: Where to.
            body: What.
            headers: Besides `Host`, `Content-Length` and `Accept-Encoding`.

        Raises:
            TargetError: The address may not be called (any more); nothing was sent.
            CallError: There was no answer in time, or none that is HTTP.
            NotConnectedError: Nobody took the connection, or its certificate is not good.
            UnavailableError: The name servers do not answer; nothing was sent.
            ValueError: A header would be two.
        """
        return await self._call("POST", url, body, headers)

    async def get(self, url: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Read what lies at an address.

        Args:
            url: Where.
            headers: As for `post`.

        Raises:
            TargetError: The address may not be called; nothing was sent.
            CallError: There was no answer in time, or none that is HTTP.
            NotConnectedError: Nobody took the connection, or its certificate is not good.
            UnavailableError: The name servers do not answer; nothing was sent.
            ValueError: A header would be two.
        """
        return await self._call("GET", url, b"", headers or {})

    async def _call(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        if any(not FORBIDDEN_IN_HEADERS.isdisjoint(text) for text in headers.values()):
            raise ValueError("a header has one line")
        target = parse_target(url, self.rules)
        letter = _Letter(method, body, headers)
        try:
            async with asyncio.timeout(self._limits.total_s):
                addresses = await locate(target, self._resolver)
                return await self._try_each(target, addresses[:MOST_TRIED], letter)
        except TimeoutError:
            raise CallError(f"no answer within {self._limits.total_s:g} s") from None

    async def _try_each(
        self, target: Target, addresses: Sequence[Address], letter: _Letter
    ) -> Answer:
        for address in addresses[:-1]:
            try:
                return await self._send(target, address, letter)
            except NotConnectedError:  # nothing was sent: another one may be there
                continue
        return await self._send(target, addresses[-1], letter)

    async def _send(self, target: Target, address: Address, letter: _Letter) -> Answer:
        limits = self._limits
        host = f"[{address}]" if address.version == 6 else str(address)  # noqa: PLR2004
        request = httpx2.Request(
            letter.method,
            f"{target.scheme}://{host}:{target.port}{target.path}",
            headers={**letter.headers, "Host": target.authority, "Accept-Encoding": "identity"},
            content=letter.body,
            extensions={
                "sni_hostname": target.host,
                "timeout": httpx2.Timeout(limits.total_s, connect=limits.connect_s).as_dict(),
            },
        )
        try:
            response = await self._transport.handle_async_request(request)
            try:
                return await self._read(response)
            finally:
                await response.aclose()
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            reason = str(error) or "it took too long"
            raise NotConnectedError(f"no connection: {reason[:LONGEST_REASON]}") from None
        except httpx2.HTTPError as error:  # its text may be what the other side wrote
            raise CallError(f"no answer: {type(error).__name__}") from None

    async def _read(self, response: httpx2.Response) -> Answer:
        most = self._limits.answer_bytes
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > most:
                break
        headers = {name.lower(): text for name, text in response.headers.items()}
        return Answer(response.status_code, headers, bytes(body[:most]), len(body) > most)
