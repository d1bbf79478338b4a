"""Sources of messages, and messages that were not taken, as operators see them."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from headrace.inbox.sources import LONGEST_OVERLAP, OVERLAP
from headrace.web.views.actions import Reason
from headrace.web.views.admin import Text
from headrace.web.views.jobs import A_TIME

if TYPE_CHECKING:
    from headrace.store.inbox import Quarantined
    from headrace.store.sources import Source

OVERLAP_S = int(OVERLAP.total_seconds())


class SourceBody(BaseModel):
    """A system that may submit by message."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason
    source: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", examples=["shop"])]
    tenant: Text
    owner: Text
    pipelines: list[Text] = Field(
        min_length=1, max_length=1_000, description="What it may submit to; `*` is every pipeline."
    )
    names_owners: bool = Field(
        default=False, strict=True, description="Its messages may name another owner."
    )


class RotateBody(BaseModel):
    """How long both secrets are good."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason
    overlap_s: int = Field(
        OVERLAP_S,
        strict=True,
        ge=0,
        le=int(LONGEST_OVERLAP.total_seconds()),
        description="Seconds for which the secret before is good, too.",
    )


class SourceView(BaseModel):
    """A system that may submit by message."""

    source: str = Field(examples=["shop"])
    tenant: str = Field(examples=["acme"])
    owner: str
    names_owners: bool
    pipelines: list[str]
    key_generation: int
    previous_until: datetime | None = Field(description="So long the secret before is good.")
    disabled_at: datetime | None
    disabled_reason: str | None
    created_at: datetime = Field(examples=[A_TIME])
    created_by: str


class NewSourceView(SourceView):
    """With its secret."""

    secret: str = Field(
        description="What its messages are signed with; shown this once.",
        examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw+h5hN3kHqzM="],
    )


class QuarantinedView(BaseModel):
    """A message that was not taken; its content is for the command line."""

    number: int
    message_id: str
    source: str | None = Field(description="As it gave itself.")
    tenant: str | None
    cause: str = Field(examples=["unsigned"])
    detail: str
    bytes: int
    published_at: datetime = Field(examples=[A_TIME])
    received_at: datetime = Field(examples=[A_TIME])
    redriven_at: datetime | None
    redriven_by: str | None
    job_id: UUID | None


class TakenView(BaseModel):
    """What became of a message that was taken after all."""

    outcome: str = Field(description="`inserted`, `duplicate` or `stale`.", examples=["inserted"])
    job_id: UUID | None


def source_view(source: Source) -> dict[str, Any]:
    """A source as it is shown."""
    fields = asdict(source)
    del fields["read_at"]
    return {"source": fields.pop("name"), **fields}


def quarantined_view(found: Quarantined) -> dict[str, Any]:
    """A message as it is listed."""
    fields = asdict(found)
    del fields["attributes"]
    job = fields.pop("job")
    return {
        "number": fields.pop("id"),
        "cause": fields.pop("reason"),
        "job_id": None if job is None else str(job),
        **fields,
    }
