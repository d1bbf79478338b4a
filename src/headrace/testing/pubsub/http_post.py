"""One POST by HTTP/1.1, of which only the status counts.

Pub/Sub takes 102 (Processing) as an acknowledgement. To an HTTP client that is an interim answer
which it does not show, so this reads the first status line itself.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit


class NoAnswerError(Exception):
    """There was no answer, or one that is not HTTP."""


async def post(url: str, headers: Mapping[str, str], body: bytes) -> int:
    """Send `body`; the first status of the answer.

    Raises:
        NoAnswerError: There was none; the text says why.
    """
    parts = urlsplit(url)
    try:
        reader, writer = await _connect(parts)
    except OSError as error:
        raise NoAnswerError(str(error)) from error
    try:
        writer.write(_head(parts, headers, len(body)) + body)
        # What is refused before it is read comes with an answer all the same, so read in any case.
        return _status(await reader.readline())
    except (OSError, ValueError) as error:
        raise NoAnswerError(str(error)) from error
    finally:
        writer.close()


async def _connect(parts: SplitResult) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    secure = ssl.create_default_context() if parts.scheme == "https" else None
    port = parts.port or (443 if secure else 80)
    return await asyncio.open_connection(parts.hostname, port, ssl=secure)


def _head(parts: SplitResult, headers: Mapping[str, str], length: int) -> bytes:
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [
        f"POST {path} HTTP/1.1",
        f"Host: {parts.netloc}",
        f"Content-Length: {length}",
        "Connection: close",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def _status(line: bytes) -> int:
    version, _, rest = line.partition(b" ")
    if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
        raise ValueError(f"not an answer of HTTP: {line[:80]!r}")
    return int(rest[:3])
