"""Webhooks: who is told by HTTP of what happens to jobs. No row holds a secret."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal
from uuid import UUID

from headrace.errors import ConflictError, NotFoundError
from headrace.store.sql import SQL

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    import uuid_utils
    from asyncpg import Record

    from headrace.store.jobs import Shared
    from headrace.store.pool import Connection

MOST_OF_TENANT: Final = 20
"""Webhooks that a tenant may have, besides those of single jobs."""
TEST_EVENT: Final = "webhook.test"


class WebhookNotFoundError(NotFoundError):
    """No webhook has this id, or it belongs to somebody else."""

    code = "webhook_not_found"

    def __init__(self, webhook: object) -> None:
        super().__init__(webhook)
        self.webhook = webhook

    def __str__(self) -> str:
        return f"no webhook {self.webhook}"


class TooManyWebhooksError(ConflictError):
    """The tenant has as many webhooks as it may have."""

    code = "too_many_webhooks"

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self.most = most

    def __str__(self) -> str:
        return f"a tenant has {self.most} webhooks at most; delete one"


@dataclass(frozen=True, slots=True)
class Webhook:
    """Who is told, and of what."""

    id: UUID
    tenant: str
    owner: str | None
    """Whose jobs; None: those of the whole tenant."""
    job: UUID | None
    """Only of this one."""
    url: str
    events: list[str]
    key_generation: int
    previous_until: datetime | None
    """Until then the key before signs as well."""
    disabled_at: datetime | None
    disabled_reason: str | None
    created_at: datetime
    created_by: str

    @property
    def state(self) -> Literal["enabled", "disabled"]:
        """Whether it is told anything."""
        return "enabled" if self.disabled_at is None else "disabled"


@dataclass(frozen=True, slots=True)
class JobWebhook:
    """The webhook that a job is submitted with; its id is that of the job."""

    url: str
    events: Sequence[str]


@dataclass(frozen=True, slots=True)
class DeliveryStatus:
    """What became of one event for one webhook."""

    id: int
    """Its place in the list."""
    event_id: UUID
    kind: str
    job: UUID | None
    run: int | None
    attempts: int
    """Tries so far."""
    due_at: datetime
    sent_at: datetime | None
    given_up_at: datetime | None
    last_error: str | None
    created_at: datetime

    @property
    def state(self) -> Literal["waiting", "sent", "given_up"]:
        """Where it is."""
        if self.sent_at is not None:
            return "sent"
        return "waiting" if self.given_up_at is None else "given_up"


async def add_webhook(
    connection: Connection,
    webhook: UUID,
    *,
    tenant: str,
    owner: str | None,
    url: str,
    events: Sequence[str],
    by: str,
) -> Webhook:
    """Store a webhook whose address was checked.

    Raises:
        TooManyWebhooksError: The tenant has as many as it may have.
    """
    found = await connection.fetch(
        SQL["webhooks.add_webhook"], webhook, tenant, owner, url, events, by, MOST_OF_TENANT
    )
    if not found:
        raise TooManyWebhooksError(MOST_OF_TENANT)
    return Webhook(**_plain(found[0]))


async def add_job_webhooks(
    connection: Connection, wanted: Sequence[tuple[uuid_utils.UUID, Shared, JobWebhook]]
) -> None:
    """Store the webhooks of jobs that the same transaction stores, with their ids and options."""
    await connection.execute(
        SQL["webhooks.add_job_webhooks"],
        [job for job, _, _ in wanted],
        [shared.tenant for _, shared, _ in wanted],
        [shared.owner for _, shared, _ in wanted],
        [webhook.url for _, _, webhook in wanted],
        [",".join(webhook.events) for _, _, webhook in wanted],
        [shared.actor or shared.owner for _, shared, _ in wanted],
    )


async def list_webhooks(connection: Connection, tenant: str) -> list[Webhook]:
    """The webhooks of a tenant, the newest first, without those of single jobs."""
    rows = await connection.fetch(SQL["webhooks.list_webhooks"], tenant)
    return [Webhook(**_plain(row)) for row in rows]


async def find_webhook(connection: Connection, webhook: UUID, tenant: str) -> Webhook:
    """One webhook of a tenant; that of a job has the id of the job.

    Raises:
        WebhookNotFoundError: There is none.
    """
    return await _one(connection, "find_webhook", webhook, tenant)


async def rotate_webhook(
    connection: Connection, webhook: UUID, tenant: str, overlap: timedelta
) -> Webhook:
    """Give it the next key; the one before signs as well for this long.

    Raises:
        WebhookNotFoundError: There is none.
    """
    return await _one(connection, "rotate_webhook", webhook, tenant, overlap)


async def enable_webhook(connection: Connection, webhook: UUID, tenant: str) -> Webhook:
    """Send to it again, what happens from now on; one that is enabled stays as it is.

    Raises:
        WebhookNotFoundError: There is none.
    """
    return await _one(connection, "enable_webhook", webhook, tenant)


async def delete_webhook(connection: Connection, webhook: UUID, tenant: str) -> Webhook:
    """Remove it; returns what it was.

    Raises:
        WebhookNotFoundError: There is none.
    """
    return await _one(connection, "delete_webhook", webhook, tenant)


async def add_test(connection: Connection, webhook: UUID, tenant: str, event: UUID) -> bool:
    """Send it an event that says nothing; False where it is disabled."""
    return bool(await connection.fetchval(SQL["webhooks.add_test"], webhook, tenant, event))


async def list_deliveries(
    connection: Connection, webhook: UUID, *, before: int | None = None, limit: int = 30
) -> list[DeliveryStatus]:
    """What was sent to a webhook and what waits for it, newest first, from `before` on."""
    rows = await connection.fetch(SQL["webhooks.list_deliveries"], webhook, before, limit)
    return [DeliveryStatus(**_plain(row)) for row in rows]


async def _one(connection: Connection, statement: str, webhook: UUID, *rest: Any) -> Webhook:
    row = await connection.fetchrow(SQL[f"webhooks.{statement}"], webhook, *rest)
    if row is None:
        raise WebhookNotFoundError(webhook)
    return Webhook(**_plain(row))


def _plain(row: Record) -> dict[str, Any]:
    """A row whose ids are of Python's own kind: the driver's has no form in JSON."""
    return {
        name: UUID(int=value.int) if isinstance(value, UUID) else value
        for name, value in row.items()
    }
