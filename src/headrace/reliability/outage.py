"""Which exceptions of a client say that what it calls is in trouble.

Exceptions are known by their shape and by their names, so that no client need be installed.
"""

from __future__ import annotations

import errno
import socket
from types import MappingProxyType
from typing import Final

from headrace.errors import HeadraceError, Steering

SERVER_ERROR: Final = 500
LAST_STATUS: Final = 599
FIRST_STATUS: Final = 100
_ERRNOS: Final = frozenset(
    {errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH, errno.ETIMEDOUT}
)
"""Of an `OSError` that has no class of its own."""
_GRPC: Final = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL", "DATA_LOSS"})
"""Status codes that correspond to HTTP 5xx."""
_NAMES: Final = MappingProxyType(
    {
        "aiohttp": {"ClientConnectionError", "ClientPayloadError"},
        "anthropic": {"APIConnectionError"},
        "botocore": {"HTTPClientError", "ConnectionError"},
        "google": {"RetryError", "TransportError"},
        "httpcore": {"NetworkError", "TimeoutException", "RemoteProtocolError", "ProxyError"},
        "httpx": {"NetworkError", "TimeoutException", "RemoteProtocolError", "ProxyError"},
        "openai": {"APIConnectionError"},
        "pymongo": {"ConnectionFailure"},
        "redis": {"ConnectionError", "TimeoutError"},
        "requests": {"ConnectionError", "Timeout", "ChunkedEncodingError"},
        "urllib3": {"TimeoutError", "ProtocolError", "MaxRetryError", "ConnectTimeoutError"},
    }
)
"""Names of exceptions, or of their bases, by the package that they are from."""


def is_outage(error: BaseException) -> bool:
    """Whether an exception says that what was called is away, too slow, or failed by itself.

    So do `ConnectionError`, `TimeoutError`, a name that has no address, an HTTP status from 500 on
    (as `status_code`, `status` or `code`, of the exception or its `response`), the gRPC statuses
    that correspond to those, and the transport errors of the usual clients. Nothing else does: a
    status below 500 (429 too) is an answer, and any other exception may be the caller's own.
    """
    if isinstance(error, BaseExceptionGroup):
        return any(is_outage(one) for one in error.exceptions)
    if not isinstance(error, Exception) or isinstance(error, HeadraceError | Steering):
        return False
    status = status_of(error)
    if status is not None:
        return status >= SERVER_ERROR
    if isinstance(error, OSError) and _is_network_outage(error):
        return True
    return _is_grpc_outage(error) or _is_known_by_name(error)


def status_of(error: BaseException) -> int | None:
    """The HTTP status that an exception bears, if it does."""
    response = getattr(error, "response", None)
    for bearer in (error, response):
        for name in ("status_code", "status", "code"):
            status = getattr(bearer, name, None)
            if isinstance(status, int) and FIRST_STATUS <= status <= LAST_STATUS:
                return int(status)
    if isinstance(response, dict):  # botocore's
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return status if isinstance(status, int) else None
    return None


def describe(error: BaseException) -> str:
    """An exception in a word or two, without its text, which may hold anything."""
    status = status_of(error)
    name = type(error).__name__
    return name if status is None else f"{name} {status}"


def _is_network_outage(error: OSError) -> bool:
    if isinstance(error, ConnectionError | TimeoutError | socket.gaierror):
        return True
    reason = getattr(error, "reason", None)  # urllib's URLError
    return error.errno in _ERRNOS or (isinstance(reason, OSError) and is_outage(reason))


def _is_grpc_outage(error: BaseException) -> bool:
    code = getattr(error, "code", None)
    if not callable(code) or type(error).__module__.partition(".")[0] != "grpc":
        return False
    return getattr(code(), "name", None) in _GRPC


def _is_known_by_name(error: BaseException) -> bool:
    for kind in type(error).__mro__:
        package = kind.__module__.partition(".")[0]
        for name in (package, package.rstrip("0123456789")):  # httpx2 is httpx
            if kind.__name__ in _NAMES.get(name, ()):
                return True
    return False
