"""Frames between a worker and its step processes: a JSON head, and texts in their stored form.

Texts do not go through the head: an output of 50 MB is neither escaped nor scanned.
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from headrace.errors import OutputTooLargeError
from headrace.worker.outcomes import Cancelled, Deferred, Done, Failed, Outcome, Parked, Skipped

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable, Iterator

TEXT_MOST: Final = 1 << 30
"""Bytes of one text; more would only fill the worker's memory."""
_LENGTH: Final = struct.Struct("!I")
_OUTCOMES: Final = {
    kind.__name__: kind for kind in (Done, Skipped, Failed, Deferred, Cancelled, Parked)
}


@dataclass(slots=True)
class Frame:
    """One message.

    Attributes:
        what: Its kind.
        fields: What JSON can say of it.
        texts: Stored forms of values.
    """

    what: str
    fields: dict[str, Any] = field(default_factory=dict)
    texts: tuple[str, ...] = ()


def pack(frame: Frame) -> list[bytes]:
    """The frame as bytes, to be sent one after the other.

    Raises:
        OutputTooLargeError: A text takes more than `TEXT_MOST` bytes.
    """
    bodies = [text.encode() for text in frame.texts]
    for body in bodies:
        if len(body) > TEXT_MOST:
            raise OutputTooLargeError(len(body), TEXT_MOST)
    # Not orjson: the message of an exception may hold lone surrogates, which only this escapes.
    head = json.dumps([frame.what, frame.fields, [len(body) for body in bodies]]).encode()
    return [_LENGTH.pack(len(head)) + head, *bodies]


async def read_frame(reader: asyncio.StreamReader) -> Frame:
    """The next frame of a stream.

    Raises:
        EOFError: The other side is gone.
        OSError: As EOFError.
    """
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    what, fields, lengths = json.loads(await reader.readexactly(length))
    texts = [(await reader.readexactly(size)).decode() for size in lengths]
    return Frame(what, fields, tuple(texts))


def receive_frame(line: socket.socket) -> Frame:
    """The next frame of a blocking socket.

    Raises:
        EOFError: The other side is gone.
        OSError: As EOFError.
    """
    (length,) = _LENGTH.unpack(_receive(line, _LENGTH.size))
    what, fields, lengths = json.loads(_receive(line, length))
    return Frame(what, fields, tuple(_receive(line, size).decode() for size in lengths))


def _receive(line: socket.socket, size: int) -> bytearray:
    data = bytearray(size)
    left = memoryview(data)
    while left:
        count = line.recv_into(left)
        if not count:
            raise EOFError
        left = left[count:]
    return data


def frame_of(outcome: Outcome, **more: object) -> Frame:
    """An outcome as a frame, with what else there is to say."""
    fields = asdict(outcome)
    texts = (fields.pop("text"),) if isinstance(outcome, Done) else ()
    return Frame("outcome", {"kind": type(outcome).__name__, "fields": fields, **more}, texts)


def outcome_of(frame: Frame) -> Outcome:
    """The inverse of `frame_of`."""
    kind: Callable[..., Outcome] = _OUTCOMES[frame.fields["kind"]]
    return kind(*frame.texts, **frame.fields["fields"])


def lines_of(buffer: bytearray) -> Iterator[dict[str, Any]]:
    """Take the whole lines of JSON out of a buffer: how the template and the worker speak."""
    while (end := buffer.find(b"\n")) >= 0:
        line = bytes(buffer[:end])
        del buffer[: end + 1]
        yield json.loads(line)


def line_of(**fields: object) -> bytes:
    """One such line."""
    return json.dumps(fields).encode() + b"\n"
