"""What can be done to a job, and the answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from headrace.web.views.jobs import AN_ID

Reason = Annotated[
    str,
    Field(
        min_length=1,
        max_length=500,
        description="Kept in the history.",
        examples=["the supplier's server is back"],
    ),
]
Named = Annotated[str, Field(min_length=1, max_length=200)]
StepName = Annotated[
    Named,
    Field(description="This step and all that depend on it run again; the rest is taken over."),
]


class CancelBody(BaseModel):
    """Why a job is cancelled."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason | None = None


class RetryBody(BaseModel):
    """How a job runs again."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason
    from_step: StepName | None = None
    force: bool = Field(default=False, strict=True, description="Every step runs again.")


class ReplayBody(RetryBody):
    """How a completed job runs again."""

    override_outputs: dict[Named, Any] | None = Field(
        None,
        min_length=1,
        max_length=100,
        description="Takes the scope `operator`. Outputs by the name of their step, in place of "
        "what these made: they do not run, and all that depend on them run again.",
        examples=[{"draft": "A better one."}],
    )


class Cancelled(BaseModel):
    """A job that is cancelled, or will be within seconds."""

    job_id: UUID = Field(examples=[AN_ID])
    state: Literal["cancelled", "running"]


class Reopened(BaseModel):
    """A job that runs again."""

    job_id: UUID = Field(examples=[AN_ID])
    run: int = Field(examples=[2])
    state: Literal["queued"]


class Deleted(BaseModel):
    """A job that is cancelled, or whose input and outputs are erased."""

    job_id: UUID = Field(examples=[AN_ID])
    state: Literal["cancelled", "running", "completed", "failed"]
    is_erased: bool
