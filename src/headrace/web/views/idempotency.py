"""Operations that were done once for a tenant, as operators see them."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from headrace.reliability.idempotent import LONGEST_KEY
from headrace.web.views.actions import Reason
from headrace.web.views.admin import Text
from headrace.web.views.jobs import A_TIME, AN_ID

if TYPE_CHECKING:
    from headrace.store.idempotency import OperationRecord

State = Literal["pending", "completed", "failed"]
Key = Annotated[
    str,
    Field(min_length=1, max_length=LONGEST_KEY, pattern=r"^[^\x00]+$", examples=["order-42"]),
]


class ForgetBody(BaseModel):
    """Which key is freed, and why."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason
    tenant: Text
    key: Key
    force: bool = Field(
        default=False, strict=True, description="Also while it is pending: it may be done twice."
    )


class OperationView(BaseModel):
    """An operation; its output is for the command line."""

    tenant: str = Field(examples=["acme"])
    key: str = Field(examples=["order-42"])
    operation: str = Field(description="Name of the function.", examples=["charge"])
    input_hash: str = Field(description="SHA-256 of what it was called with, in hexadecimal.")
    state: State
    takeovers: int = Field(description="How often it was taken from a holder that was gone.")
    job_id: UUID | None = Field(examples=[AN_ID])
    run: int | None
    step: str | None
    item: str | None
    worker_id: int | None
    created_at: datetime = Field(examples=[A_TIME])
    renewed_at: datetime = Field(examples=[A_TIME])
    completed_at: datetime | None
    expires_at: datetime | None = Field(description="So long its outcome answers.")


class ForgottenView(BaseModel):
    """A key that is free."""

    tenant: str
    key: str
    state: State = Field(description="That the operation had.")


def operation_view(record: OperationRecord) -> dict[str, Any]:
    """An operation as it is listed."""
    fields = asdict(record)
    for hidden in ("token", "output", "artifact", "error"):
        del fields[hidden]
    job, worker = fields.pop("job"), fields.pop("worker")
    return {
        **fields,
        "input_hash": record.input_hash.hex(),
        "job_id": None if job is None else str(job),
        "worker_id": worker,
    }
