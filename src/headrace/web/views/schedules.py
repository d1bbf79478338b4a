"""Schedules as operators see them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from headrace.web.views.jobs import AN_ID
from headrace.web.views.times import Time

if TYPE_CHECKING:
    from headrace.store.schedules import ScheduleStatus


class ScheduleView(BaseModel):
    """A schedule, and what became of its last slot."""

    schedule: str = Field(description="Pipeline and name.", examples=["reports.nightly"])
    pipeline: str = Field(examples=["reports"])
    name: str = Field(examples=["nightly"])
    state: Literal["active", "paused", "failing", "overdue", "not carried"] = Field(
        description="`overdue`: for five minutes no worker has done anything about its slot; "
        "`not carried`: the newest version of its pipeline has it no more."
    )
    cron: str = Field(examples=["30 2 * * *"])
    timezone: str = Field(examples=["Europe/Berlin"])
    missed: Literal["skip", "once", "all"] = Field(
        description="What becomes of slots that were missed."
    )
    version: str = Field(description="Of the pipeline that says so.", examples=["1.0.0"])
    tenant: str
    owner: str
    next_slot: Time
    last_slot: Time | None = Field(description="The last one that has a job.")
    last_job: UUID | None = Field(examples=[AN_ID])
    missed_slots: int = Field(description="Slots that have no job because they were missed.")
    failures: int = Field(description="Of its function, since the last job.")
    error: str | None = Field(description="Of the last of them.")
    retry_at: Time | None = Field(description="When it is called again at the earliest.")
    paused_at: Time | None
    paused_by: str | None
    pause_reason: str | None


class TriggeredSchedule(BaseModel):
    """The job that was submitted."""

    schedule: str = Field(examples=["reports.nightly"])
    job_id: UUID = Field(examples=[AN_ID])


def schedule_view(found: ScheduleStatus) -> dict[str, Any]:
    """What is answered of a schedule."""
    values = asdict(found)
    named = {name: values[name] for name in ScheduleView.model_fields if name in values}
    return {"schedule": found.address, **named}
