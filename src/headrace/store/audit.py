"""What administrators did: who, why, before and after. Rows are added, and go after 400 days."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import orjson

from headrace.store.sql import SQL
from headrace.store.workers import affected

if TYPE_CHECKING:
    from datetime import datetime

    from headrace.store.pool import Connection

KEPT: Final = timedelta(days=400)
PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that was done."""

    actor: str
    action: str
    """As `api_key.revoke`."""
    target: str
    """What it was done to, by its id or name."""
    reason: str | None = None
    request_id: str | None = None
    before: Any = None
    after: Any = None


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A row of the audit."""

    id: int
    at: datetime
    actor: str
    action: str
    target: str
    reason: str | None
    request_id: str | None
    before: Any
    after: Any


async def record_action(connection: Connection, done: Action) -> None:
    """Keep what was done; in the transaction that does it, so that neither is without the other."""
    await connection.execute(
        SQL["identity.add_audit"],
        done.actor,
        done.action,
        done.target,
        done.reason,
        done.request_id,
        _json(done.before),
        _json(done.after),
    )


async def list_actions(
    connection: Connection, *, before: int | None = None, limit: int = 100
) -> list[AuditEntry]:
    """What was done, the latest first, from the entry after `before` on."""
    rows = await connection.fetch(SQL["identity.list_audit"], before, limit)
    return [
        AuditEntry(**{**row, "before": _loaded(row["before"]), "after": _loaded(row["after"])})
        for row in map(dict, rows)
    ]


async def prune_actions(connection: Connection, *, limit: int = PAGE) -> int:
    """Delete some of what was done over 400 days ago; returns how many."""
    async with connection.transaction():
        await connection.execute(SQL["retention.allow_deletion"])
        return affected(await connection.execute(SQL["identity.prune_audit"], KEPT, limit))


def _json(value: object) -> str | None:
    return None if value is None else orjson.dumps(value, default=str).decode()


def _loaded(text: str | None) -> Any:  # noqa: ANN401 - any JSON value
    return None if text is None else orjson.loads(text)
