"""Requests to the API: each is tried again while that may help, and never has its effect twice."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import ssl
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import uuid4

from headrace.remote.errors import ClientMissingError, ForeignAnswerError, ServiceUnavailableError
from headrace.remote.problems import Refusal, Subject
from headrace.remote.values import read_value

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    import httpx2

    from headrace.errors import HeadraceError
    from headrace.remote.address import Address

T = TypeVar("T")

CONNECT_S: Final = 10.0
AT_ONCE: Final = 64
"""Requests of one client, apart from event streams; more wait for their turn."""
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 5.0
STRANGER_S: Final = 10.0
"""The patience with a server that has not answered yet: its address may be wrong."""
LARGE: Final = 1024 * 1024
"""Bytes of a body that may be why a connection breaks."""
JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a client waits, in seconds."""

    timeout_s: float = 35.0
    """For an answer; the server gives up after 30 s itself."""
    patience_s: float = 90.0
    """For which a call is tried again while the server does not answer, or asks to wait."""
    silence_s: float = 45.0
    """After which an event stream counts as lost; the server shows a sign of life every 15 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request, as often as it is sent."""

    method: str
    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    files: Mapping[str, Any] | None = None
    data: Mapping[str, str] | None = None
    subject: Subject = field(default_factory=Subject)
    timeout_s: float | None = None
    """For an answer, where it may take longer than others."""
    accepts: Callable[[Refusal], bool] | None = None
    """Which refusals are as good as a success."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A success."""

    address: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:  # noqa: ANN401 - JSON
        """Its body, with whole numbers of any size.

        Raises:
            ForeignAnswerError: It is no JSON.
        """
        try:
            return json.loads(self.body)
        except ValueError:
            kind = self.headers.get("content-type", "something")
            raise ForeignAnswerError(
                self.address, f"answered with {kind} that is no JSON"
            ) from None

    def value(self, kind: type[T], told: Any = None) -> T:  # noqa: ANN401 - JSON
        """What it tells, or a part of it.

        Raises:
            ForeignAnswerError: It is something else.
        """
        try:
            return read_value(kind, self.json() if told is None else told)
        except ValueError as error:
            raise ForeignAnswerError(
                self.address, f"answered with something that is no {kind.__name__}"
            ) from error


class Pauses:
    """The pauses between tries, until patience ends: so long after the first failure."""

    def __init__(self, patience_s: Callable[[], float]) -> None:
        self._loop = asyncio.get_running_loop()
        self._patience_s = patience_s
        self.reset()

    def reset(self) -> None:
        """Begin anew: the server answered."""
        self._ends_at: float | None = None
        self._next_s = FIRST_PAUSE_S

    async def wait(self, error: HeadraceError, *, at_least: timedelta | None) -> None:
        """Wait before the next try.

        Args:
            error: Why the last one failed; raised where the pause would end too late.
            at_least: For which the server asked.
        """
        pause_s = self._next_s * random.uniform(0.5, 1)  # noqa: S311 - no secret
        if at_least is not None:
            # A little later than asked for, and not all at once.
            asked_s = at_least.total_seconds() * random.uniform(1, 1.1)  # noqa: S311
            pause_s = max(pause_s, asked_s)
        if self._ends_at is None:
            self._ends_at = self._loop.time() + self._patience_s()
        if self._loop.time() + pause_s > self._ends_at:
            raise error
        self._next_s = min(self._next_s * 2, LONGEST_PAUSE_S)
        await asyncio.sleep(pause_s)


def new_key() -> str:
    """An idempotency key that nobody else has."""
    return uuid4().hex


class Transport:
    """Sends requests to one API.

    Args:
        address: Which one.
        limits: How long it waits.
    """

    def __init__(self, address: Address, limits: Limits) -> None:
        self.address, self.limits = address, limits
        self._client: httpx2.AsyncClient | None = None
        self._has_answered = False
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def close(self) -> None:
        """Close all connections; the next request opens one again."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def pauses(self) -> Pauses:
        """The pauses between the tries of one call."""
        return Pauses(self._patience_s)

    def _patience_s(self) -> float:
        patience_s = self.limits.patience_s
        return patience_s if self._has_answered else min(patience_s, STRANGER_S)

    async def call(self, call: Call) -> Answer:
        """Send a request until it is answered.

        Raises:
            HeadraceError: What the answer says, or that there is none.
        """
        pauses = self.pauses()
        while True:
            try:
                async with self._turns:
                    found = await self._send(call)
            except ServiceUnavailableError as error:
                await pauses.wait(error, at_least=None)
                continue
            if isinstance(found, Answer):
                return found
            if not found.may_pass:
                raise found.error()
            await pauses.wait(found.error(), at_least=found.retry_after)

    @contextlib.asynccontextmanager
    async def stream(self, call: Call) -> AsyncIterator[httpx2.Response]:
        """Send a request once, and read its answer as it comes, inside an `async with` block.

        Raises:
            Refused: The answer is no success.
            ServiceUnavailableError: There is none, or the connection breaks inside the block.
        """
        client = self._open()
        request = self._request(client, call, read_s=self.limits.silence_s)
        with self._told(call):
            response = await client.send(request, stream=True)
            self._has_answered = True
            try:
                if response.status_code >= 300:  # noqa: PLR2004 - no success
                    raise Refused(self._refusal(call, response, await response.aread()))
                yield response
            finally:
                await response.aclose()

    async def _send(self, call: Call) -> Answer | Refusal:
        client = self._open()
        timeout_s = call.timeout_s or self.limits.timeout_s
        request = self._request(client, call, read_s=timeout_s)
        with self._told(call):
            async with asyncio.timeout(timeout_s):
                response = await client.send(request)
        self._has_answered = True
        if response.status_code >= 300:  # noqa: PLR2004 - no success
            refusal = self._refusal(call, response, response.content)
            if call.accepts is None or not call.accepts(refusal):
                return refusal
        address = f"{call.method} {self.address.url}{call.path}"
        return Answer(address, response.status_code, response.headers, response.content)

    def _refusal(self, call: Call, response: httpx2.Response, body: bytes) -> Refusal:
        address = f"{call.method} {self.address.url}{call.path}"
        return Refusal.of(address, response.status_code, response.headers, body, call.subject)

    def _request(self, client: httpx2.AsyncClient, call: Call, *, read_s: float) -> httpx2.Request:
        wait = {"connect": min(CONNECT_S, read_s), "read": read_s, "write": read_s, "pool": None}
        return client.build_request(
            call.method,
            f"{self.address.url}{call.path}",
            params={name: value for name, value in call.query.items() if value is not None},
            headers={"Accept": JSON, **call.headers},
            content=call.content,
            files=call.files,
            data=call.data,
            extensions={"timeout": wait},
        )

    @contextlib.contextmanager
    def _told(self, call: Call) -> Iterator[None]:
        """Tell what a broken connection means, in our words."""
        import httpx2  # noqa: PLC0415 - 0.4 s

        what = f"{call.method} {self.address.url}{call.path}"
        try:
            yield
        except (httpx2.TimeoutException, TimeoutError) as error:
            raise ServiceUnavailableError(f"{what}: no answer in time") from error
        except (httpx2.TransportError, httpx2.StreamError) as error:
            if _is_distrusted(error):
                raise ForeignAnswerError(what, f"has no good certificate ({error})") from error
            reason = str(error) or type(error).__name__
            large = len(call.content or b"")
            if large > LARGE:  # a server that refuses it may close before all of it was sent
                reason += f"; the body has {large:,} bytes, which may be more than it takes"
            raise ServiceUnavailableError(f"{what}: no answer ({reason})") from error
        except (httpx2.DecodingError, httpx2.InvalidURL) as error:
            raise ForeignAnswerError(what, f"cannot be read ({error})") from error

    def _open(self) -> httpx2.AsyncClient:
        if self._client is None:
            try:
                import httpx2  # noqa: PLC0415 - 0.4 s, and an extra
            except ModuleNotFoundError as error:
                raise ClientMissingError from error
            from headrace import __version__  # noqa: PLC0415 - a cycle while it is loaded

            self._client = httpx2.AsyncClient(
                headers={"User-Agent": f"headrace/{__version__}", **self.address.headers},
                follow_redirects=False,  # the token goes to the address that was given
                trust_env=not self.address.is_plain,  # nor to a proxy that could read it
                limits=httpx2.Limits(max_connections=None, max_keepalive_connections=AT_ONCE),
            )
        return self._client


class Refused(Exception):  # noqa: N818 - it is caught inside this room
    """A stream was refused."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal)
        self.refusal = refusal


def _is_distrusted(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
