"""A message that submits a job: what it says, and who has signed it.

`data` is JSON with the fields of `Order`. The attributes are `kind` ("job"), `v` ("1"), `source`,
`timestamp` (seconds since 1970) and `signature`: HMAC-SHA256 with the key of the source over
`source.timestamp.data`, as `v1,` and base64. A message is signed when it is published: the time of
that, which the broker keeps with it, is what the timestamp is compared with, so that a message may
wait for days and still be good.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple

import orjson
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StrictInt, ValidationError

from headrace.client.options import LONGEST_TEXT
from headrace.client.strict import NotStrictError, load_strict
from headrace.model import signing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.model.incoming import Incoming
    from headrace.store.inbox import Reason

KIND: Final = "job"
VERSION: Final = "1"
LONGEST_ID: Final = 255
MOST_PROBLEMS: Final = 5


class RefusedError(Exception):
    """A message is not taken.

    Args:
        reason: One of the quarantine's.
        detail: What is wrong, safe to show.

    Attributes:
        tenant: Of the source, once that is known.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail
        self.tenant: str | None = None

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


class Message(NamedTuple):
    """What to publish."""

    data: bytes
    attributes: dict[str, str]


Word = Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT)]


class Order(BaseModel):
    """What a message asks for; other fields are refused.

    Attributes:
        id: The sender's own: the same id is the same job, however often it is sent.
        pipeline: Which pipeline.
        payload: Its input.
        owner: Whose the job is, where the source may say so.
    """

    model_config = ConfigDict(extra="forbid")

    id: Annotated[str, Field(min_length=1, max_length=LONGEST_ID)] | None = None
    pipeline: Word
    payload: Any
    preset: Word | None = None
    parameters: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    priority: Annotated[StrictInt, Field(ge=0, le=9)] | Literal["low", "normal", "high"] = 5
    due_at: AwareDatetime | None = None
    deadline: AwareDatetime | None = None
    correlation_id: Word | None = None
    ordering_key: Word | None = None
    concurrency_key: Word | None = None
    owner: Word | None = None


def read_order(message: Incoming, most_bytes: int) -> Order:
    """What a message asks for.

    Raises:
        RefusedError: It is too large, of a version that is not known, no JSON, or does not fit.
    """
    if message.kind != KIND:
        raise RefusedError("invalid", f"attribute kind is {message.kind[:20]!r}; give {KIND}")
    if len(message.data) > most_bytes:
        size = f"{len(message.data):,} bytes; {most_bytes:,} at most"
        raise RefusedError("too_large", size)
    version = message.attributes.get("v", "")
    if version != VERSION:
        raise RefusedError(
            "unsupported_version", f"attribute v is {version[:20]!r}; give {VERSION}"
        )
    try:
        return Order.model_validate(load_strict(message.data))
    except NotStrictError as error:
        raise RefusedError("undecodable", error.reason) from None
    except ValidationError as error:
        raise RefusedError("invalid", _told(error)) from None


def _told(error: ValidationError) -> str:
    """What does not fit, without the values."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    places = (
        f"{'.'.join(map(str, one['loc'])) or 'data'}: {one['msg']}" for one in found[:MOST_PROBLEMS]
    )
    return "; ".join(places)


def verify(message: Incoming, keys: Sequence[bytes]) -> str:
    """The signature that is good, by one of these keys.

    Raises:
        RefusedError: None is, or it was not made when the message was published.
    """
    attributes = message.attributes
    signature = attributes.get("signature", "")
    headers = {
        signing.ID_HEADER: attributes.get("source", ""),
        signing.TIME_HEADER: attributes.get("timestamp", ""),
        signing.SIGNATURE_HEADER: signature,
    }
    try:
        signing.verify(keys, headers, message.data, now=message.published_at.timestamp())
    except signing.SignatureError as error:
        raise RefusedError("unsigned", str(error)) from None
    return signature


def source_key(master: bytes, source: str, generation: int) -> bytes:
    """The key of a source, which its holder keeps as `secret_text` of it.

    Args:
        master: A signing key of the settings.
        source: Its name.
        generation: 1 for its first key; one more with each change.
    """
    return signing.derive(master, f"inbox:{source}:{generation}")


def compose_message(
    pipeline: str,
    payload: object,
    *,
    source: str,
    secret: str,
    id: str | None = None,  # noqa: A002 - the name of the field
    at: datetime | None = None,
    **fields: object,
) -> Message:
    """A message that submits a job, signed; publish it within five minutes.

    `publisher.publish(topic, message.data, **message.attributes)` is all that is left to do.

    Args:
        pipeline: Which pipeline.
        payload: Its input, as JSON takes it.
        source: The name under which you are registered.
        secret: Yours, as `headrace sources create` printed it.
        id: Yours: the same id is the same job, however often it is sent.
        at: When it is published, if not now.
        **fields: More fields of `Order`, as `priority=9`.

    Raises:
        ValueError: The secret is none, or a field does not fit.
    """
    order = Order.model_validate({"pipeline": pipeline, "payload": payload, "id": id, **fields})
    data = orjson.dumps(order.model_dump(mode="json", exclude_none=True) | {"payload": payload})
    key = signing.secret_key(secret)
    headers = signing.sign([key], source, int((at or datetime.now(UTC)).timestamp()), data)
    attributes = {
        "kind": KIND,
        "v": VERSION,
        "source": source,
        "timestamp": headers[signing.TIME_HEADER],
        "signature": headers[signing.SIGNATURE_HEADER],
    }
    return Message(data, attributes)
