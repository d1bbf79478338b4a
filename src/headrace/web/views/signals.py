"""The forms of signals and of links to them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

import orjson
from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.model.awaited import AwaitedSignal
    from headrace.store.signalling import Received, Wait


class SentSignal(BaseModel):
    """A value that was sent, and stands."""

    job_id: UUID
    signal: str = Field(examples=["approval"])


class AwaitingStep(BaseModel):
    """A step that waits for a signal."""

    step: str = Field(examples=["decide"])
    item: str | None = Field(description="The key of the item, in a step with one a value.")
    since: datetime
    until: datetime | None = Field(description="When its time is over.")


class SignalView(BaseModel):
    """A signal of a job, in its present run."""

    signal: str = Field(examples=["approval"])
    state: Literal["open", "awaited", "received", "expired"] = Field(
        description="`open`: nothing came, and no step waits for it yet; `awaited`: a step waits; "
        "`received`: a value stands; `expired`: none came in time."
    )
    awaited: list[AwaitingStep] = Field(description="The steps that wait for it now.")
    received_at: datetime | None = Field(description="When the value came, or the time was over.")
    sent_by: str | None = Field(
        description="Who sent it: a caller, or `link:` and the number of a link.",
        examples=["link:b3c1a2f09d4e5f60"],
    )
    value: Any = Field(description="The value that stands; null where there is none.")
    value_schema: dict[str, Any] | None = Field(
        description="The JSON schema of its values; null where this service does not know it."
    )


class LinkView(BaseModel):
    """What a link asks for."""

    pipeline: str = Field(examples=["order"])
    signal: str = Field(examples=["approval"])
    title: str = Field(description="What is to be decided; may be empty.")
    text: str = Field(description="More on it; may be empty.")
    expires_at: datetime
    value_schema: dict[str, Any] = Field(description="The JSON schema of the answer.")


class LinkAnswered(BaseModel):
    """An answer stands."""

    signal: str = Field(examples=["approval"])
    state: Literal["received"] = "received"


def signal_views(
    known: dict[str, AwaitedSignal], received: Sequence[Received], waits: Sequence[Wait]
) -> list[dict[str, Any]]:
    """The signals of a job: those of its pipeline, then others that were sent.

    Args:
        known: The signals of the pipeline, where this service carries it.
        received: What was sent to the run, or did not come in time.
        waits: What its steps wait for.
    """
    sent = {one.name: one for one in received}
    awaited = {wait.name for wait in waits if wait.kind == "signal"}
    names = dict.fromkeys([*known, *sent, *sorted(awaited)])
    return [_view(name, known.get(name), sent.get(name), waits) for name in names]


def _view(
    name: str, known: AwaitedSignal | None, sent: Received | None, waits: Sequence[Wait]
) -> dict[str, Any]:
    steps = [wait for wait in waits if wait.kind == "signal" and wait.name == name]
    state = "awaited" if steps else "open"
    if sent is not None:
        state = "expired" if sent.value is None else "received"
    value = None if sent is None or sent.value is None else orjson.Fragment(sent.value)
    return {
        "signal": name,
        "state": state,
        "awaited": [
            {"step": one.step, "item": one.item or None, "since": one.since, "until": one.until}
            for one in steps
        ],
        "received_at": None if sent is None else sent.received_at,
        "sent_by": None if sent is None else sent.sent_by,
        "value": value,
        "value_schema": None if known is None else known.codec.schema(),
    }
