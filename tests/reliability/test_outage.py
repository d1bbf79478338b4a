"""Which exceptions say that what was called is in trouble."""

from __future__ import annotations

import errno
import socket
from http import HTTPStatus
from types import SimpleNamespace
from urllib.error import HTTPError, URLError

import httpx2
import openai
import pytest
import requests
from google.api_core import exceptions as google

from headrace import PermanentError, RetryAfter
from headrace.errors import BreakerOpenError, DatabaseUnavailableError
from headrace.reliability.outage import describe, is_outage

REQUEST = httpx2.Request("GET", "http://service")


def of(module: str, *names: str) -> Exception:
    """An exception of a package that need not be installed, by its names from its base down."""
    kind: type[Exception] = Exception
    for name in names:
        kind = type(name, (kind,), {"__module__": module})
    return kind("it failed")


def with_status(status: int, *, on: str = "status_code") -> Exception:
    error = of("somewhere", "APIStatusError")
    error.__dict__[on] = status
    return error


def with_response(status: int) -> Exception:
    error = of("httpx", "HTTPStatusError")
    error.__dict__["response"] = SimpleNamespace(status_code=status)
    return error


def with_grpc_code(name: str) -> Exception:
    error = of("grpc.aio._call", "AioRpcError")
    error.__dict__["code"] = lambda: SimpleNamespace(name=name)
    return error


def botocore(status: int) -> Exception:
    error = of("botocore.exceptions", "ClientError")
    error.__dict__["response"] = {"ResponseMetadata": {"HTTPStatusCode": status}}
    return error


OUTAGES = [
    ConnectionRefusedError(),
    ConnectionResetError(),
    BrokenPipeError(),
    TimeoutError(),
    socket.gaierror(-2, "Name or service not known"),
    OSError(errno.EHOSTUNREACH, "No route to host"),
    URLError(ConnectionRefusedError()),
    HTTPError("http://x", 502, "Bad Gateway", {}, None),  # type: ignore[arg-type]
    with_status(500),
    with_status(529),
    with_status(503, on="status"),
    with_status(HTTPStatus.SERVICE_UNAVAILABLE, on="code"),
    with_response(504),
    botocore(503),
    httpx2.ConnectError("refused"),
    httpx2.ReadTimeout("late"),
    httpx2.RemoteProtocolError("cut off"),
    httpx2.HTTPStatusError("no", request=REQUEST, response=httpx2.Response(502)),
    openai.APIConnectionError(request=REQUEST),
    openai.APITimeoutError(request=REQUEST),
    openai.InternalServerError("no", response=httpx2.Response(500, request=REQUEST), body=None),
    requests.ConnectionError("refused"),
    requests.Timeout("late"),
    of("httpx", "TransportError", "NetworkError", "ConnectError"),
    of("httpx", "TransportError", "TimeoutException", "ReadTimeout"),
    of("httpcore._exceptions", "TimeoutException", "ConnectTimeout"),
    of("anthropic._exceptions", "APIConnectionError"),
    of("aiohttp.client_exceptions", "ClientError", "ClientConnectionError", "ServerTimeoutError"),
    google.ServiceUnavailable("away"),
    google.DeadlineExceeded("late"),
    with_grpc_code("UNAVAILABLE"),
    ExceptionGroup("calls", [ValueError(), TimeoutError()]),
]
NONE = [
    with_status(400),
    with_status(401),
    with_status(403),
    with_status(404),
    with_status(408),
    with_status(429),
    with_response(429),
    botocore(403),
    google.NotFound("no model"),
    google.TooManyRequests("slow down"),
    with_grpc_code("INVALID_ARGUMENT"),
    with_grpc_code("RESOURCE_EXHAUSTED"),
    httpx2.UnsupportedProtocol("ftp"),
    httpx2.InvalidURL("nowhere"),
    openai.RateLimitError("no", response=httpx2.Response(429, request=REQUEST), body=None),
    openai.NotFoundError("no", response=httpx2.Response(404, request=REQUEST), body=None),
    of("myapp", "ConnectError"),
    ValueError("not JSON"),
    KeyError("choices"),
    FileNotFoundError("prompt.txt"),
    PermanentError("no"),
    RetryAfter(5),
    BreakerOpenError("other", RetryAfter(5).delay),
    DatabaseUnavailableError("gone"),
    ExceptionGroup("calls", [ValueError(), with_status(404)]),
]


def name_of(error: BaseException) -> str:
    return f"{type(error).__module__}.{describe(error)}"


class TestIsOutage:
    @pytest.mark.parametrize("error", OUTAGES, ids=name_of)
    def test_these_are_the_doing_of_what_was_called(self, error: BaseException):
        assert is_outage(error)

    @pytest.mark.parametrize("error", NONE, ids=name_of)
    def test_these_are_answers_or_our_own_mistakes(self, error: BaseException):
        assert not is_outage(error)

    def test_a_description_has_the_status_and_not_the_text(self):
        assert describe(with_status(503)) == "APIStatusError 503"
        assert describe(ConnectionRefusedError("password=x")) == "ConnectionRefusedError"
