"""Webhooks of tenants: made, shown, and given new keys."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

import asyncpg
from uuid_utils import uuid7

from headrace.egress.resolving import SystemResolver, locate
from headrace.egress.target import Rules, TargetError, parse_target
from headrace.errors import ConflictError, OptionError, UnavailableError
from headrace.model.signing import secret_text, webhook_key
from headrace.store import webhooks as store
from headrace.store.audit import Action, record_action
from headrace.store.outbox import WEBHOOK_EVENTS, drop_webhook_events, open_outbox

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headrace.store.connections import Connections
    from headrace.store.pool import HeldConnection
    from headrace.store.webhooks import DeliveryStatus, Webhook

USUAL_EVENTS: Final = ("job.completed", "job.failed", "job.cancelled")
OVERLAP: Final = timedelta(days=1)
"""For which the key before signs as well."""
LONGEST_OVERLAP: Final = timedelta(days=7)
OPENINGS: Final = 5
"""Tries, of a second each, to have the events of a database written for the first time."""


class WebhooksOffError(ConflictError):
    """Nothing can be signed here, so there are no webhooks."""

    code = "webhooks_off"

    def __str__(self) -> str:
        return "webhooks are off here; the operator can set HEADRACE_SIGNING_KEYS"


class WebhookDisabledError(ConflictError):
    """The webhook gets nothing until it is enabled."""

    code = "webhook_disabled"

    def __init__(self, webhook: object) -> None:
        super().__init__(webhook)
        self.webhook = webhook

    def __str__(self) -> str:
        return f"the webhook {self.webhook} is disabled; enable it first"


class Webhooks:
    """What can be done with webhooks; each change is recorded in the audit.

    Args:
        connections: Where they are stored.
        keys: The master keys of signatures, the newest first.
        private_hosts: Hosts that may be told though they are not public.
    """

    def __init__(
        self,
        connections: Connections,
        keys: Callable[[], Sequence[bytes]],
        private_hosts: Callable[[], Sequence[str]],
    ) -> None:
        self._connections, self._keys, self._private_hosts = connections, keys, private_hosts
        self._is_open = False
        self._opening = asyncio.Lock()

    async def check(self, url: str) -> None:
        """See that an address may be told; it is looked at again each time that it is.

        Raises:
            OptionError: It may not; the text says why.
            WebhooksOffError: There is no key to sign with.
            UnavailableError: The name servers do not answer.
        """
        self._master()
        resolver = SystemResolver()
        try:
            rules = Rules(frozenset(self._private_hosts()))
            await locate(parse_target(url, rules), resolver)
        except TargetError as error:
            raise OptionError("url", error.problem) from None
        finally:
            await resolver.close()

    async def open(self) -> None:
        """Have events written from now on; before a transaction that adds a webhook and jobs.

        Raises:
            UnavailableError: Other transactions did not let it, for some seconds.
        """
        if self._is_open:
            return
        async with self._opening:  # one lock of the table, not one for each request that waits
            for _ in range(OPENINGS):
                if self._is_open:
                    return
                with contextlib.suppress(asyncpg.LockNotAvailableError):
                    async with self._connections.use() as connection:
                        await open_outbox(connection)
                    self._is_open = True
            if not self._is_open:
                raise UnavailableError("the database is busy with other transactions")

    def secret(self, webhook: object, generation: int = 1) -> str:
        """The secret of a webhook, for the one who may know it, as `whsec_...`.

        Raises:
            WebhooksOffError: There is no key to sign with.
        """
        return secret_text(webhook_key(self._master(), webhook, generation))

    async def create(
        self,
        url: str,
        *,
        tenant: str,
        owner: str | None = None,
        events: Sequence[str] = USUAL_EVENTS,
        by: str,
        request_id: str | None = None,
    ) -> tuple[str, Webhook]:
        """Make a webhook: from now on it hears of the jobs of a tenant.

        Args:
            url: Who is told.
            tenant: Of whose jobs.
            owner: Only of the jobs of this owner.
            events: Some of `WEBHOOK_EVENTS`.
            by: Who makes it.
            request_id: Of the request that asked for it.

        Returns:
            Its secret, which is shown this once, and the webhook.

        Raises:
            OptionError: The address may not be told, or there is no such event.
            TooManyWebhooksError: The tenant has as many as it may have.
            WebhooksOffError: There is no key to sign with.
        """
        chosen = check_events(events)
        await self.check(url)
        await self.open()
        made = UUID(int=uuid7().int)
        async with self._connections.use() as connection, connection.transaction():
            webhook = await store.add_webhook(
                connection, made, tenant=tenant, owner=owner, url=url, events=chosen, by=by
            )
            await _record(connection, "create", webhook, by, request_id)
        return self.secret(made), webhook

    async def all_of(self, tenant: str) -> list[Webhook]:
        """The webhooks of a tenant, the newest first, without those of single jobs."""
        async with self._connections.use() as connection:
            return await store.list_webhooks(connection, tenant)

    async def rotate(
        self,
        webhook: UUID,
        *,
        tenant: str,
        overlap: timedelta = OVERLAP,
        by: str,
        request_id: str | None = None,
    ) -> tuple[str, Webhook]:
        """Give a webhook another secret; for `overlap` both sign.

        Returns:
            The new secret, which is shown this once, and the webhook.

        Raises:
            WebhookNotFoundError: The tenant has no such webhook.
            OptionError: The overlap is longer than 7 days.
            WebhooksOffError: There is no key to sign with.
        """
        if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
            raise OptionError("overlap", "give 0 to 7 days")
        self._master()
        async with self._connections.use() as connection, connection.transaction():
            changed = await store.rotate_webhook(connection, webhook, tenant, overlap)
            await _record(connection, "rotate", changed, by, request_id)
        return self.secret(changed.id, changed.key_generation), changed

    async def enable(
        self, webhook: UUID, *, tenant: str, by: str, request_id: str | None = None
    ) -> Webhook:
        """Send to a webhook again: what happens from now on.

        Raises:
            WebhookNotFoundError: The tenant has no such webhook.
        """
        async with self._connections.use() as connection, connection.transaction():
            enabled = await store.enable_webhook(connection, webhook, tenant)
            await _record(connection, "enable", enabled, by, request_id)
        return enabled

    async def delete(
        self, webhook: UUID, *, tenant: str, by: str, request_id: str | None = None
    ) -> None:
        """Remove a webhook, with what waits for it.

        Raises:
            WebhookNotFoundError: The tenant has no such webhook.
        """
        async with self._connections.use() as connection, connection.transaction():
            deleted = await store.delete_webhook(connection, webhook, tenant)
            await drop_webhook_events(connection, webhook)
            await _record(connection, "delete", deleted, by, request_id)

    async def test(self, webhook: UUID, *, tenant: str) -> UUID:
        """Send a webhook an event that says nothing; returns its id, by which it can be found.

        Raises:
            WebhookNotFoundError: The tenant has no such webhook.
            WebhookDisabledError: It is disabled.
        """
        event = UUID(int=uuid7().int)
        async with self._connections.use() as connection:
            if not await store.add_test(connection, webhook, tenant, event):
                await store.find_webhook(connection, webhook, tenant)
                raise WebhookDisabledError(webhook)
        return event

    async def deliveries(
        self, webhook: UUID, *, tenant: str, before: int | None = None, limit: int = 30
    ) -> list[DeliveryStatus]:
        """What was sent to a webhook and what waits for it, newest first.

        Raises:
            WebhookNotFoundError: The tenant has no such webhook.
        """
        async with self._connections.use() as connection:
            await store.find_webhook(connection, webhook, tenant)
            return await store.list_deliveries(connection, webhook, before=before, limit=limit)

    def _master(self) -> bytes:
        keys = self._keys()
        if not keys:
            raise WebhooksOffError
        return keys[0]


def check_events(events: Sequence[str]) -> list[str]:
    """The same events, each once.

    Raises:
        OptionError: There is no such event, or none is given.
    """
    unknown = [event for event in events if event not in WEBHOOK_EVENTS]
    if unknown or not events:
        known = ", ".join(WEBHOOK_EVENTS)
        problem = f"{unknown[0]!r} is none" if unknown else "none is given"
        raise OptionError("events", f"{problem}; give some of {known}")
    return list(dict.fromkeys(events))


async def _record(
    connection: HeldConnection, what: str, webhook: Webhook, by: str, request_id: str | None
) -> None:
    shown = {name: value for name, value in asdict(webhook).items() if name != "url"}
    await record_action(
        connection,
        Action(by, f"webhook.{what}", str(webhook.id), None, request_id, after=shown),
    )
