"""API keys: `hr_<prefix>_<secret>`, of which only a hash is stored.

The prefix is no secret: it names a key in lists and logs. The secret has 256 random bits, which is
why a plain hash is enough: there is nothing to guess.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from headrace.errors import NotFoundError
from headrace.store.audit import Action, record_action
from headrace.store.sql import SQL

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime, timedelta

    from headrace.store.pool import Connection

START: Final = "hr_"
PREFIX_BYTES: Final = 10
SECRET_BYTES: Final = 32
_SHAPE: Final = re.compile(r"hr_([a-z2-7]{16})_[a-z2-7]{52}")
_NO_HASH: Final = bytes(32)


class ApiKeyNotFoundError(NotFoundError):
    """No key has this prefix, or it was revoked before."""

    code = "api_key_not_found"

    def __init__(self, prefix: str) -> None:
        super().__init__(prefix)
        self.prefix = prefix

    def __str__(self) -> str:
        return f"no API key {self.prefix!r} that could be revoked"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is listed: nothing here opens anything."""

    prefix: str
    tenant: str
    owner: str
    scopes: list[str]
    note: str | None
    created_at: datetime
    created_by: str
    expires_at: datetime
    revoked_at: datetime | None
    revoked_by: str | None


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose a key is, and for how many more seconds."""

    prefix: str
    tenant: str
    owner: str
    scopes: list[str]
    left_s: float


async def create_api_key(
    connection: Connection,
    *,
    tenant: str,
    owner: str,
    scopes: Iterable[str],
    life: timedelta,
    by: str,
    note: str | None = None,
    request_id: str | None = None,
) -> tuple[str, ApiKey]:
    """Make a key, and record who did.

    Args:
        connection: Outside of a transaction, or in one that decides.
        tenant: Of its holder.
        owner: Its holder, within the tenant.
        scopes: What it may do.
        life: From now.
        by: Who makes it.
        note: What it is for.
        request_id: Of the request that asked for it.

    Returns:
        The key itself, which is nowhere else and cannot be had again, and how it is listed.
    """
    prefix, key = _make()
    async with connection.transaction():
        (row,) = await connection.fetch(
            SQL["identity.add_api_key"],
            prefix,
            _hash(key),
            tenant,
            owner,
            sorted(scopes),
            note,
            by,
            life,
        )
        made = ApiKey(**row)
        action = Action(by, "api_key.create", prefix, note, request_id, after=asdict(made))
        await record_action(connection, action)
    return key, made


async def find_holder(connection: Connection, key: str) -> Holder | None:
    """Whose a key is; None for one that does not exist, is revoked, or has expired."""
    shape = _SHAPE.fullmatch(key)
    if shape is None:
        return None
    prefix = shape[1]
    row = await connection.fetchrow(SQL["identity.find_api_key"], prefix)
    # The same work whether there is such a prefix or not.
    is_right = hmac.compare_digest(_NO_HASH if row is None else row["hash"], _hash(key))
    if row is None or not is_right:
        return None
    return Holder(prefix, row["tenant"], row["owner"], row["scopes"], row["left_s"])


async def list_api_keys(
    connection: Connection, *, tenant: str | None = None, limit: int = 100
) -> list[ApiKey]:
    """Keys, the newest first, those that cannot be used any more too."""
    rows = await connection.fetch(SQL["identity.list_api_keys"], tenant, limit)
    return [ApiKey(**row) for row in rows]


async def revoke_api_key(
    connection: Connection,
    prefix: str,
    *,
    by: str,
    reason: str | None = None,
    request_id: str | None = None,
) -> ApiKey:
    """End a key, and record who did; within a minute no process accepts it any more.

    Raises:
        ApiKeyNotFoundError: There is no such key, or it was revoked before.
    """
    async with connection.transaction():
        row = await connection.fetchrow(SQL["identity.revoke_api_key"], prefix, by)
        if row is None:
            raise ApiKeyNotFoundError(prefix)
        ended = ApiKey(**row)
        action = Action(by, "api_key.revoke", prefix, reason, request_id, after=asdict(ended))
        await record_action(connection, action)
    return ended


async def has_api_keys(connection: Connection) -> bool:
    """Whether there is a key that can be used."""
    return bool(await connection.fetchval(SQL["identity.has_api_keys"]))


def _make() -> tuple[str, str]:
    prefix = _text(secrets.token_bytes(PREFIX_BYTES))
    return prefix, f"{START}{prefix}_{_text(secrets.token_bytes(SECRET_BYTES))}"


def _text(value: bytes) -> str:
    return base64.b32encode(value).decode().rstrip("=").lower()


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
