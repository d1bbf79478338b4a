"""The JSON in which Pub/Sub wraps a message that it pushes.

Nothing of it is trusted before it is checked, though only Pub/Sub can sign such a request: whoever
may publish chooses data and attributes.
"""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from typing import Annotated, Any, Final, NamedTuple

from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from headrace.client.strict import NotStrictError, load_strict
from headrace.model.incoming import Incoming

LARGEST_BYTES: Final = 16 * 1_024 * 1_024
"""10 MB is the most that Pub/Sub takes; base64 makes a third more of them."""
UNKNOWN: Final = "unknown"


class Envelope(NamedTuple):
    """A message, and the full name of the subscription that it came by."""

    subscription: str
    message: Incoming


class MalformedError(Exception):
    """A body is no envelope.

    Args:
        detail: What is wrong, in words that are safe to show.
        subscription: What it names; empty where that cannot be read.
        message_id: The same.
    """

    def __init__(self, detail: str, subscription: str = "", message_id: str = UNKNOWN) -> None:
        super().__init__(detail)
        self.detail, self.subscription, self.message_id = detail, subscription, message_id


class _Message(BaseModel):
    messageId: Annotated[str, Field(min_length=1, max_length=200)]  # noqa: N815 - Pub/Sub's
    data: str = ""
    attributes: dict[str, str] = {}
    publishTime: AwareDatetime | None = None  # noqa: N815


class _Body(BaseModel):
    message: _Message
    subscription: Annotated[str, Field(min_length=1, max_length=1_000)]


def read_envelope(body: bytes) -> Envelope:
    """The message in a body.

    Raises:
        MalformedError: There is none.
    """
    if len(body) > LARGEST_BYTES:
        raise MalformedError(f"over {LARGEST_BYTES:,} bytes")
    try:
        value = load_strict(body)
    except NotStrictError as error:
        raise MalformedError(f"no JSON as it is taken here: {error.reason}") from None
    known = _known(value)
    try:
        read = _Body.model_validate(value)
    except ValidationError as error:
        raise MalformedError(_told(error), *known) from None
    message = read.message
    if not (message.data or message.attributes):
        raise MalformedError("message: neither data nor attributes", *known)
    try:
        data = base64.b64decode(message.data, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedError("message.data: no base64", *known) from None
    incoming = Incoming(
        message_id=message.messageId,
        data=data,
        attributes=message.attributes,
        published_at=message.publishTime or datetime.now(UTC),
    )
    return Envelope(read.subscription, incoming)


def _known(value: object) -> tuple[str, str]:
    """What a body that is wrong somewhere says of where it comes from."""
    if not isinstance(value, dict):
        return "", UNKNOWN
    message = value.get("message")
    named = message.get("messageId") if isinstance(message, dict) else None
    return _text(value.get("subscription")), _text(named)[:200] or UNKNOWN


def _text(value: Any) -> str:  # noqa: ANN401 - JSON
    return value if isinstance(value, str) and "\x00" not in value else ""


def _told(error: ValidationError) -> str:
    """What does not fit, without the values."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, one['loc'])) or '$'}: {one['msg']}" for one in found[:5])
