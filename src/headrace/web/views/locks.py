"""Locks as operators see them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from headrace.reliability.locks import KEY_MOST
from headrace.web.views.actions import Reason
from headrace.web.views.admin import Text
from headrace.web.views.jobs import A_TIME, AN_ID

if TYPE_CHECKING:
    from headrace.store.locks import HeldLock

Key = Annotated[
    str, Field(min_length=1, max_length=KEY_MOST, pattern=r"^[^\x00]+$", examples=["repo:42"])
]


class ReleaseBody(BaseModel):
    """Which lock is taken from its holder, and why."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason
    tenant: Text
    key: Key


class LockView(BaseModel):
    """A lock that is held."""

    tenant: str = Field(examples=["acme"])
    key: str = Field(examples=["repo:42"])
    token: int = Field(description="Higher than that of every earlier holder of the key.")
    holder: str = Field(description="Host and process, and a random part.")
    worker_id: int | None = Field(description="Whose death frees it; null: only time does.")
    job_id: UUID | None = Field(examples=[AN_ID])
    step: str | None
    reason: str | None = Field(description="What for, as the holder said.")
    acquired_at: datetime = Field(examples=[A_TIME])
    expires_at: datetime = Field(description="Unless it is renewed.", examples=[A_TIME])


def lock_view(lock: HeldLock) -> dict[str, Any]:
    """A lock as it is listed."""
    return {
        "tenant": lock.tenant,
        "key": lock.key,
        "token": lock.token,
        "holder": lock.holder,
        "worker_id": lock.worker,
        "job_id": None if lock.job is None else str(lock.job),
        "step": lock.step,
        "reason": lock.reason,
        "acquired_at": lock.acquired_at,
        "expires_at": lock.expires_at,
    }
