"""A message as a broker delivers it, whatever it says and by whatever way it came."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime
from time import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

FORWARDED: Final = "CloudPubSubDeadLetterSource"
"""How the attributes begin that Pub/Sub adds to a message that it puts aside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """A message as the broker delivers it, by whatever way.

    Attributes:
        message_id: The broker's.
        published_at: By the broker's clock.
    """

    message_id: str
    data: bytes
    attributes: Mapping[str, str]
    published_at: datetime

    @property
    def kind(self) -> str:
        """What it says that it is."""
        return self.attributes.get("kind", "")

    @property
    def source(self) -> str | None:
        """Who it says that it is from."""
        return self.attributes.get("source") or None

    @property
    def age_ms(self) -> float:
        """Milliseconds since it was published, by this machine's clock; never negative."""
        return round(max(0.0, time() - self.published_at.timestamp()) * 1_000, 3)

    @property
    def content(self) -> bytes:
        """A hash of what it asks for."""
        return hashlib.sha256(self.data).digest()

    def as_sent(self) -> Incoming:
        """As its sender published it, where the broker has put it aside and published it anew.

        To be asked of messages alone that come from there: anybody can write such attributes.
        """
        own = {
            name: text for name, text in self.attributes.items() if not name.startswith(FORWARDED)
        }
        try:
            at = datetime.fromisoformat(self.attributes[f"{FORWARDED}TopicPublishTime"])
        except (KeyError, ValueError):
            at = self.published_at
        if at.tzinfo is None:
            at = self.published_at
        return replace(self, attributes=own, published_at=at)
