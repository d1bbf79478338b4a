"""Messages that came in: the ids under which jobs were submitted, and what was put aside."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal, NamedTuple
from uuid import uuid4

import orjson

from headrace.errors import NotFoundError
from headrace.store.sql import SQL
from headrace.store.workers import affected
from headrace.telemetry.masking import clean_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from asyncpg import Record

    from headrace.store.pool import Connection

Reason = Literal[
    "undecodable",
    "invalid",
    "unsigned",
    "unknown_source",
    "unknown_pipeline",
    "not_allowed",
    "unsupported_version",
    "too_large",
    "conflict",
    "undeliverable",
]
"""Why a message was put aside."""
KEPT: Final = timedelta(days=31)
"""Ids are known for so long: a subscription may keep a message for as long and deliver it again."""
QUARANTINE_KEPT: Final = timedelta(days=31)
PAGE: Final = 500
LAST_ID: Final = 2**63 - 1
LONGEST_DETAIL: Final = 500


class QuarantinedNotFoundError(NotFoundError):
    """Nothing that was put aside has this number."""

    code = "quarantined_not_found"

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    def __str__(self) -> str:
        return f"no message {self.number} in quarantine"


class Known(NamedTuple):
    """What was submitted under an id.

    Attributes:
        content: The hash of the message.
        state: Of the job; None where that is gone.
    """

    content: bytes
    job: UUID | None
    state: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """A message that is to be put aside.

    Attributes:
        message_id: As the broker named it.
        source: As it gave itself; nobody has checked that.
        tenant: Of the source, where it is known.
        detail: What is wrong, in words that are safe to show.
    """

    message_id: str
    source: str | None
    tenant: str | None
    reason: Reason
    detail: str
    data: bytes
    attributes: Mapping[str, str]
    published_at: datetime

    @property
    def fingerprint(self) -> bytes:
        """The same for the same message, on whatever way it comes."""
        return fingerprint(self.data, self.attributes, self.published_at)


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A message that was put aside; its content is read apart."""

    id: int
    message_id: str
    source: str | None
    tenant: str | None
    reason: str
    detail: str
    bytes: int
    attributes: dict[str, str]
    published_at: datetime
    received_at: datetime
    redriven_at: datetime | None
    redriven_by: str | None
    job: UUID | None


def fingerprint(data: bytes, attributes: Mapping[str, str], published_at: datetime) -> bytes:
    """A hash that tells messages apart; what the broker adds on their way does not count.

    Nor do fractions of a second: a broker that publishes a message anew may round its time.
    """
    own = {name: text for name, text in attributes.items() if not name.startswith("CloudPubSub")}
    head = orjson.dumps([own, int(published_at.timestamp())], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(head + b"\n" + data).digest()


async def claim_key(
    connection: Connection, source: str, key: str, *, message_id: str, content: bytes
) -> bool:
    """Take an id for this transaction's job; False where it is taken.

    Another transaction that has just taken it is waited for.
    """
    taken = await connection.fetchval(SQL["inbox.claim_key"], source, key, message_id, content)
    return bool(taken)


async def note_job(connection: Connection, source: str, key: str, job: UUID) -> None:
    """Say which job was submitted under an id, in the transaction that took it."""
    await connection.execute(SQL["inbox.note_job"], source, key, job)


async def find_key(connection: Connection, source: str, key: str) -> Known | None:
    """What was submitted under an id."""
    row = await connection.fetchrow(SQL["inbox.find_key"], source, key)
    return None if row is None else Known(*row)


async def is_registered(connection: Connection, pipeline: str) -> bool:
    """Whether any worker has ever carried a pipeline of this name."""
    return bool(await connection.fetchval(SQL["inbox.is_registered"], pipeline))


async def put_aside(connection: Connection, aside: Aside) -> int | None:
    """Keep a message that is not taken, and announce it on the topic of dead letters; both or none.

    Returns:
        Its number; None where it is here already: then nothing is announced.
    """
    async with connection.transaction():
        number = await connection.fetchval(
            SQL["inbox.put_aside"],
            aside.fingerprint,
            aside.message_id,
            _text(aside.source),
            aside.tenant,
            aside.reason,
            clean_text(aside.detail)[:LONGEST_DETAIL],
            aside.data,
            _text(orjson.dumps(dict(aside.attributes)).decode()),
            aside.published_at,
        )
        if number is None:
            return None
        await _announce(connection, aside)
    return int(number)


async def _announce(connection: Connection, aside: Aside) -> None:
    event_id = uuid4()
    payload = {
        "event_id": str(event_id),
        "message_id": aside.message_id,
        "tenant": aside.tenant,
        "source": aside.source,
        "reason": aside.reason,
        "error": {"code": aside.reason, "message": clean_text(aside.detail)[:LONGEST_DETAIL]},
    }
    attributes = {
        "message_id": aside.message_id,
        "kind": "dead_letter",
        "status": "error",
        "tenant": aside.tenant or "",
        "v": "1",
    }
    await connection.execute(
        SQL["inbox.announce_aside"],
        event_id,
        aside.message_id,
        aside.tenant or "",
        _text(orjson.dumps(payload).decode()),
        orjson.dumps(attributes).decode(),
    )


async def list_quarantine(
    connection: Connection,
    *,
    reason: str | None = None,
    source: str | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[Quarantined]:
    """What was put aside, the newest first."""
    below = LAST_ID if before is None else before
    rows = await connection.fetch(SQL["inbox.list_quarantine"], reason, source, below, limit)
    return [_quarantined(row) for row in rows]


async def find_quarantined(
    connection: Connection, number: int, *, lock: bool = False
) -> tuple[Quarantined, bytes]:
    """One of them, with its content.

    Args:
        connection: In a transaction where it is to be locked.
        number: Its number.
        lock: Whether nobody else may change it until the transaction ends.

    Raises:
        QuarantinedNotFoundError: There is none.
    """
    statement = "inbox.lock_quarantined" if lock else "inbox.find_quarantined"
    row = await connection.fetchrow(SQL[statement], number)
    if row is None:
        raise QuarantinedNotFoundError(number)
    return _quarantined(row), row["data"]


async def mark_redriven(connection: Connection, number: int, *, by: str, job: UUID | None) -> None:
    """Say that a message was taken after all."""
    await connection.execute(SQL["inbox.mark_redriven"], number, by, job)


async def delete_quarantined(connection: Connection, number: int) -> None:
    """Remove one.

    Raises:
        QuarantinedNotFoundError: There is none.
    """
    if await connection.fetchval(SQL["inbox.delete_quarantined"], number) is None:
        raise QuarantinedNotFoundError(number)


async def prune_inbox(connection: Connection, limit: int = PAGE) -> int:
    """Forget ids and messages that are old enough, at most so many of each.

    Returns:
        How many rows are gone.
    """
    keys = await connection.execute(SQL["inbox.prune_inbox"], KEPT, limit)
    messages = await connection.execute(SQL["inbox.prune_quarantine"], QUARANTINE_KEPT, limit)
    return affected(keys) + affected(messages)


def _quarantined(row: Record) -> Quarantined:
    fields = {name: value for name, value in row.items() if name != "data"}
    fields["attributes"] = orjson.loads(str(fields["attributes"]))
    return Quarantined(**fields)


def _text(text: str | None) -> str | None:
    """A stranger's text as PostgreSQL takes it: without NUL."""
    return None if text is None else text.replace("\x00", "�").replace("\\u0000", "�")
