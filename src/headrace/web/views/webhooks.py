"""Webhooks as the API takes and shows them."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from headrace.client.webhooks import LONGEST_OVERLAP, OVERLAP, USUAL_EVENTS
from headrace.egress.target import LONGEST_URL
from headrace.web.views.jobs import A_TIME, AN_ID

if TYPE_CHECKING:
    from headrace.store.webhooks import DeliveryStatus, Webhook

Event = Literal["job.queued", "job.running", "job.completed", "job.failed", "job.cancelled"]
A_URL: Final = "https://hooks.example.com/headrace"
SECRET: Final = Field(
    description="What its messages are signed with; shown this once.",
    examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw+h5hN3kHqzM="],
)


class JobWebhookBody(BaseModel):
    """Who is told, and of what."""

    model_config = ConfigDict(extra="forbid")

    url: Annotated[
        str,
        Field(
            min_length=1,
            max_length=LONGEST_URL,
            description="An https address of a public host, at port 443 or 8443.",
            examples=[A_URL],
        ),
    ]
    events: Annotated[
        list[Event], Field(min_length=1, max_length=10, description="Of what it is told.")
    ] = list(USUAL_EVENTS)


class WebhookBody(JobWebhookBody):
    """A webhook to be made."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"url": A_URL}]})

    owner: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=200,
            pattern=r"^[^\x00-\x1f\x7f]+$",
            description="Only of the jobs of this owner; of the whole tenant if left out.",
        ),
    ] = None


class RotateBody(BaseModel):
    """How long the secret before is good."""

    model_config = ConfigDict(extra="forbid")

    overlap_s: int = Field(
        default=int(OVERLAP.total_seconds()),
        strict=True,
        ge=0,
        le=int(LONGEST_OVERLAP.total_seconds()),
        description="Seconds for which messages are signed with both secrets.",
    )


class WebhookView(BaseModel):
    """A webhook; nothing here lets anybody sign."""

    id: UUID = Field(examples=[AN_ID])
    url: str = Field(examples=[A_URL])
    events: list[str] = Field(examples=[list(USUAL_EVENTS)])
    owner: str | None = Field(description="Only of the jobs of this owner.")
    state: Literal["enabled", "disabled"]
    disabled_at: datetime | None
    disabled_reason: str | None = Field(
        description="Why it is told nothing.", examples=["it answered 410: it wants no more"]
    )
    key_generation: int = Field(description="How many secrets it had.", examples=[1])
    previous_until: datetime | None = Field(
        description="Until then messages are signed with the secret before as well."
    )
    created_at: datetime = Field(examples=[A_TIME])
    created_by: str


class NewWebhookView(WebhookView):
    """A webhook with its secret, which nobody is shown again."""

    secret: str = SECRET


class WebhookList(BaseModel):
    """The webhooks of a tenant, the newest first."""

    items: list[WebhookView]


class DeliveryView(BaseModel):
    """What became of one event."""

    event_id: UUID = Field(description="The `webhook-id` of the message.", examples=[AN_ID])
    type: str = Field(examples=["job.completed"])
    job_id: UUID | None
    run: int | None
    state: Literal["waiting", "sent", "given_up"]
    attempts: int = Field(description="Tries so far.", examples=[1])
    next_try_at: datetime | None = Field(description="Where it waits.")
    sent_at: datetime | None
    given_up_at: datetime | None
    last_error: str | None = Field(examples=["it answered 500"])
    created_at: datetime = Field(examples=[A_TIME])


class DeliveryPage(BaseModel):
    """Part of the events of a webhook, the newest first."""

    items: list[DeliveryView]
    limit: int
    next: int | None = Field(description="The cursor of the next page.")


class TestSent(BaseModel):
    """A test that is on its way."""

    event_id: UUID = Field(description="Find it among the deliveries.", examples=[AN_ID])


def webhook_view(webhook: Webhook) -> dict[str, Any]:
    """A webhook as `WebhookView` has it."""
    shown = asdict(webhook)
    for name in ("tenant", "job"):
        del shown[name]
    return {**shown, "state": webhook.state}


def delivery_view(delivery: DeliveryStatus) -> dict[str, Any]:
    """One event as `DeliveryView` has it."""
    return {
        "event_id": delivery.event_id,
        "type": delivery.kind,
        "job_id": delivery.job,
        "run": delivery.run,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "next_try_at": delivery.due_at if delivery.state == "waiting" else None,
        "sent_at": delivery.sent_at,
        "given_up_at": delivery.given_up_at,
        "last_error": delivery.last_error,
        "created_at": delivery.created_at,
    }
