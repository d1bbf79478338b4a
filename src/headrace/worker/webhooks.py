"""Sends events to webhooks: signed, to public hosts only, and never twice as the same try."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from headrace.egress.target import Rules, TargetError
from headrace.errors import UnavailableError
from headrace.model.signing import sign, webhook_key
from headrace.store.outbox import Delivery

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from headrace.egress.client import Answer, Egress
    from headrace.store.outbox import Outgoing, Sender

LONGEST_WAIT: Final = timedelta(hours=1)
"""That a receiver may ask for with `Retry-After`."""
GONE: Final = 410
BUSY: Final = frozenset({429, 503})
SUCCESS: Final = range(200, 300)
REDIRECTS: Final = range(300, 400)


class WebhookSender:
    """A sender of events to webhooks; see `headrace.store.outbox.Sender`.

    Args:
        keys: The master keys of signatures, the newest first; with each of them is signed.
        egress: Makes the client of the calls, when the first event is sent.
        version: Of headrace, which receivers see.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        keys: Sequence[bytes],
        egress: Callable[[], Egress],
        *,
        version: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys, self._make, self._clock = tuple(keys), egress, clock
        self._egress: Egress | None = None
        self._headers = {
            "Content-Type": "application/json",
            "User-Agent": f"headrace/{version}",
        }

    async def close(self) -> None:
        """Close what is open."""
        egress, self._egress = self._egress, None
        if egress is not None:
            await egress.close()

    async def send(self, events: Sequence[Outgoing]) -> Sequence[Delivery]:
        """See `Sender.send`; what a receiver answers decides, not what it says."""
        return [await self._send(event) for event in events]

    async def _send(self, event: Outgoing) -> Delivery:
        if event.url is None:
            return Delivery.gone("the webhook is disabled or was deleted")
        if self._egress is None:
            self._egress = self._make()
        now = self._clock()
        body = event.payload.encode()
        signed = sign(tuple(self._keys_of(event, now)), str(event.event_id), int(now), body)
        try:
            answer = await self._egress.post(event.url, body, {**self._headers, **signed})
        except (TargetError, UnavailableError) as error:
            return Delivery.retry(str(error))
        return _judge(answer)

    def _keys_of(self, event: Outgoing, now: float) -> Iterator[bytes]:
        generation = event.key_generation or 1
        generations = [generation]
        until = event.previous_until
        if until is not None and until > datetime.fromtimestamp(now, UTC) and generation > 1:
            generations.append(generation - 1)
        for one in generations:
            for master in self._keys:
                yield webhook_key(master, event.webhook, one)


def _judge(answer: Answer) -> Delivery:
    status = answer.status
    if status in SUCCESS:
        return Delivery.sent()
    if status == GONE:
        return Delivery.gone("it answered 410: it wants no more")
    if status in REDIRECTS:
        return Delivery.retry(f"it answered {status}; redirects are not followed")
    return Delivery.retry(f"it answered {status}", _asked_for(answer) if status in BUSY else None)


def _asked_for(answer: Answer) -> timedelta | None:
    text = answer.headers.get("retry-after", "")
    # Of more digits it is a mistake or an attack, and of another form a date.
    if not (text.isascii() and text.isdigit() and len(text) <= 6):  # noqa: PLR2004
        return None
    return min(timedelta(seconds=int(text)), LONGEST_WAIT)


def webhook_senders(
    keys: Sequence[bytes], private_hosts: Sequence[str], version: str
) -> dict[str, Sender]:
    """Who sends to webhooks, as `Parts.senders` has it: nobody where nothing can be signed or sent.

    Args:
        keys: The master keys of signatures.
        private_hosts: Hosts that may be told though they are not public.
        version: Of headrace.
    """
    if not keys or find_spec("httpx2") is None:
        return {}

    def make() -> Egress:
        from headrace.egress.client import Egress  # noqa: PLC0415 - with the first event

        return Egress(Rules(frozenset(private_hosts)))

    return {"webhook": WebhookSender(keys, make, version=version)}
