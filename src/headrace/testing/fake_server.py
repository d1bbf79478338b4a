"""A real HTTP server on this machine that speaks as OpenAI's does, and fails when it is told to.

Threads of the standard library serve it, so it answers tests with an event loop, without one, and
other processes. What it answers is up to the server built on it.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Self

from headrace.testing.http_threads import Fault, Reply, Request, ThreadedServer

if TYPE_CHECKING:
    from types import TracebackType


class Refusal(Exception):  # noqa: N818 - an answer, not a failure of the server
    """An answer in the form of OpenAI's errors."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str,
        *,
        headers: Mapping[str, str],
        param: str | None = None,
    ) -> None:
        super().__init__(status, message, code)
        self.status, self.message, self.code = status, message, code
        self.headers, self.param = headers, param

    def reply(self) -> Reply:
        """The answer."""
        error = {
            "message": self.message,
            "type": self.code,
            "param": self.param,
            "code": self.code,
        }
        return Reply(self.status, json.dumps({"error": error}).encode(), self.headers)


def refusal(
    status: int, message: str, code: str, *, param: str | None = None, **headers: str
) -> Refusal:
    """An error answer; `headers` are written with underscores, `param` is what is wrong."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Refusal(status, message, code, headers=named, param=param)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request whose body is a JSON object."""

    request: Request
    data: dict[str, Any]

    @property
    def path(self) -> str:
        """Its path."""
        return self.request.path

    def header(self, name: str) -> str | None:
        """A header, by its name in lower case."""
        return self.request.headers.get(name)


def no_such_path(request: Request) -> Refusal:
    """What a server answers where it has nothing."""
    return refusal(404, f"Invalid URL ({request.method} {request.path})", "invalid_url")


_STATUS_FAULTS: Final = {
    Fault.SERVER_ERROR: refusal(500, "The server had an error", "server_error"),
    Fault.UNAVAILABLE: refusal(503, "The server is overloaded", "overloaded"),
    Fault.TIMED_OUT: refusal(408, "The request took too long", "timeout"),
    Fault.RATE_LIMITED: refusal(
        429, "Rate limit reached for requests", "rate_limit_exceeded", retry_after="2"
    ),
    Fault.NO_QUOTA: refusal(429, "You exceeded your current quota", "insufficient_quota"),
}


class FakeServer(ABC):
    """Checks the key, keeps the rate limit, plays the faults; what is left is answered by `answer`.

    A context manager, plain or async: it listens inside the block, and leaves no thread behind.

    Attributes:
        strays: Method and path of each request for something that it does not have.
    """

    paths: tuple[str, ...]
    """The paths that it serves, by POST."""

    def __init__(
        self,
        *,
        api_key: str | None = "test-key",
        requests_per_second: int | None = None,
        port: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """A server that does not listen yet.

        Args:
            api_key: What callers must send as `Authorization: Bearer ...`; None asks for nothing.
            requests_per_second: More of them in any second are refused with status 429.
            port: Where it listens; 0: a free one.
            clock: Seconds, for the rate limit.
        """
        self._port = port
        self.api_key = api_key
        self._rate, self._clock = requests_per_second, clock
        self._recent: deque[float] = deque()
        self._faults: deque[StrEnum] = deque()
        self.strays: list[tuple[str, str]] = []
        self._lock = threading.Lock()
        self._server: ThreadedServer | None = None

    @property
    def base_url(self) -> str:
        """Its address, with the version: what a client is given."""
        if self._server is None:
            raise RuntimeError("the server listens only inside its `with` block")
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def fail_next(self, fault: StrEnum, *, times: int = 1) -> None:
        """Let the next requests that pass the key and the limit meet a fault, after those set."""
        with self._lock:
            self._faults.extend([fault] * times)

    @abstractmethod
    def answer(self, asked: Asked, fault: StrEnum | None) -> Reply:
        """The right answer, or a wrong one if `fault` is of the server's own.

        Raises:
            Refusal: The request is answered with an error.
        """

    @abstractmethod
    def note(self, asked: Asked, reply: Reply, fault: StrEnum | None) -> None:
        """Write down a request and how it was answered; called once for each JSON request."""

    def get(self, request: Request) -> Reply:
        """The answer to a GET with a good key; a path that it does not have unless told otherwise.

        Raises:
            Refusal: The request is answered with an error.
        """
        raise no_such_path(request)

    def choose_fault(self, asked: Asked) -> StrEnum | None:  # noqa: ARG002 - for servers that look
        """What goes wrong with this request."""
        with self._lock:
            return self._faults.popleft() if self._faults else None

    def reply(self, request: Request) -> Reply:
        """What is answered."""
        asked: Asked | None = None
        fault: StrEnum | None = None
        try:
            if request.method == "GET":
                self._check_key(request)
                return self.get(request)
            asked = self._read(request)
            self._check_key(request)
            self._keep_rate()
            fault = self.choose_fault(asked)
            reply = self._perform(asked, fault)
        except Refusal as error:
            reply = error.reply()
        if asked is not None:
            with self._lock:
                self.note(asked, reply, fault)
        return reply

    def _read(self, request: Request) -> Asked:
        if request.path not in self.paths:
            self.strays.append((request.method, request.path))
            raise no_such_path(request)
        try:
            data = json.loads(request.body)
        except ValueError:
            data = None
        if not isinstance(data, dict):
            raise refusal(400, "The body is no JSON object", "invalid_json")
        return Asked(request, data)

    def _check_key(self, request: Request) -> None:
        authorization = request.headers.get("authorization", "")
        if self.api_key is not None and authorization != f"Bearer {self.api_key}":
            given = authorization.removeprefix("Bearer ")  # real servers echo it as well
            raise refusal(401, f"Incorrect API key provided: {given}", "invalid_api_key")

    def _keep_rate(self) -> None:
        wait_s = self._take_slot()
        if wait_s:
            raise refusal(
                429,
                "Rate limit reached for requests",
                "rate_limit_exceeded",
                retry_after="1",
                retry_after_ms=f"{wait_s * 1_000:.0f}",
            )

    def _take_slot(self) -> float:
        """Seconds until a request is allowed; 0 if this one is."""
        if self._rate is None:
            return 0.0
        with self._lock:
            now = self._clock()
            while self._recent and now - self._recent[0] >= 1:
                self._recent.popleft()
            if len(self._recent) >= self._rate:
                return self._recent[0] + 1 - now
            self._recent.append(now)
            return 0.0

    def _perform(self, asked: Asked, fault: StrEnum | None) -> Reply:
        if not isinstance(fault, Fault):
            return self.answer(asked, fault)
        if fault in _STATUS_FAULTS:
            return _STATUS_FAULTS[fault].reply()
        return replace(self.answer(asked, None), fault=fault)

    def __enter__(self) -> Self:
        self._server = ThreadedServer(self.reply, self._port)
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, trace)
