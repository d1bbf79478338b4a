"""Sources: other systems that submit jobs by message. No row holds a key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.errors import ConflictError, NotFoundError
from headrace.store.audit import Action, record_action
from headrace.store.sql import SQL

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from headrace.store.pool import Connection


class SourceNotFoundError(NotFoundError):
    """No source has this name."""

    code = "source_not_found"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"no source {self.name!r}; `headrace sources list` shows them"


class SourceExistsError(ConflictError):
    """A source has this name already."""

    code = "source_exists"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"there is a source {self.name!r}; rotate its key, or choose another name"


@dataclass(frozen=True, slots=True)
class Source:
    """Who may submit by message.

    Attributes:
        name: As its messages give it.
        tenant: Whose jobs they are; no message says so itself.
        owner: Whose they are within the tenant, unless a message may say so and does.
        names_owners: Whether its messages may.
        pipelines: What it may submit to; `*` is every pipeline.
        key_generation: Of its key; 1 at first.
        previous_until: Until when the key before is good, too.
        read_at: The database's time when this was read.
    """

    name: str
    tenant: str
    owner: str
    names_owners: bool
    pipelines: list[str]
    key_generation: int
    previous_until: datetime | None
    disabled_at: datetime | None
    disabled_reason: str | None
    created_at: datetime
    created_by: str
    read_at: datetime

    @property
    def generations(self) -> tuple[int, ...]:
        """Of the keys that are good now, the newest first."""
        if self.previous_until is not None and self.previous_until > self.read_at:
            return self.key_generation, self.key_generation - 1
        return (self.key_generation,)

    def may_submit(self, pipeline: str) -> bool:
        """Whether its messages may name this pipeline."""
        return "*" in self.pipelines or pipeline in self.pipelines


async def add_source(
    connection: Connection,
    name: str,
    *,
    tenant: str,
    owner: str,
    pipelines: Sequence[str],
    by: str,
    names_owners: bool = False,
) -> Source:
    """Let a system submit, and record who did.

    Raises:
        SourceExistsError: There is one of this name.
    """
    async with connection.transaction():
        row = await connection.fetchrow(
            SQL["inbox.add_source"], name, tenant, owner, names_owners, list(pipelines), by
        )
        if row is None:
            raise SourceExistsError(name)
        after = {"tenant": tenant, "owner": owner, "pipelines": list(pipelines)}
        await record_action(connection, Action(by, "source.create", name, after=after))
    return Source(**row)


async def find_source(connection: Connection, name: str) -> Source | None:
    """The source of this name, as it is now."""
    row = await connection.fetchrow(SQL["inbox.find_source"], name)
    return None if row is None else Source(**row)


async def list_sources(connection: Connection) -> list[Source]:
    """All sources, by name."""
    return [Source(**row) for row in await connection.fetch(SQL["inbox.list_sources"])]


async def rotate_source(
    connection: Connection, name: str, *, overlap: timedelta, by: str, reason: str | None = None
) -> Source:
    """Give a source a new key.

    Args:
        connection: Any.
        name: Of the source.
        overlap: For so long the key before is good, too.
        by: Who does it.
        reason: Why.

    Raises:
        SourceNotFoundError: There is none.
    """
    return await _change(
        connection, "inbox.rotate_source", name, overlap, Action(by, "source.rotate", name, reason)
    )


async def disable_source(
    connection: Connection, name: str, *, reason: str | None, by: str
) -> Source:
    """Take nothing more from a source, or, without a reason, let it in again.

    Raises:
        SourceNotFoundError: There is none.
    """
    action = "source.enable" if reason is None else "source.disable"
    return await _change(
        connection, "inbox.disable_source", name, reason, Action(by, action, name, reason)
    )


async def _change(
    connection: Connection, statement: str, name: str, value: object, action: Action
) -> Source:
    async with connection.transaction():
        row = await connection.fetchrow(SQL[statement], name, value)
        if row is None:
            raise SourceNotFoundError(name)
        await record_action(connection, action)
    return Source(**row)
