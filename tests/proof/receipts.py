"""The receivers' own witness: a line for each message that came from a topic of ours."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """One message as it came.

    Attributes:
        topic: Its topic's own name.
        key: Its ordering key.
    """

    topic: str
    event_id: str
    job: str
    run: int
    key: str
    message_id: str


class ReceiptLedger:
    """Appends lines to a file, from any thread."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def write(self, receipt: Receipt) -> None:
        """Append a line."""
        os.write(self._file, json.dumps(asdict(receipt)).encode() + b"\n")


def receipt_of(topic: str, data: bytes, key: str, message_id: str) -> Receipt:
    """What a message says of itself."""
    body = json.loads(data)
    return Receipt(
        topic=topic, event_id=body["event_id"], job=body["job_id"], run=body["run"], key=key,
        message_id=message_id,
    )  # fmt: skip


def read_receipts(path: Path) -> Iterator[Receipt]:
    """All lines, in the order in which the messages came."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield Receipt(**json.loads(line))
