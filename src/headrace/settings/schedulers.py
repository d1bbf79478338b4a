"""The settings of schedules, and of who calls tasks."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings

from headrace.settings.kinds import Claim


class SchedulerSettings(BaseSettings):
    """When slots count as missed, and the account of an outer scheduler; a part of `Settings`."""

    schedule_grace_s: float = Field(
        60,
        ge=1,
        le=3_600,
        description="How late the job of a schedule's slot may be; then the slot was missed, and "
        "the schedule's policy says what becomes of it.",
    )

    tasks_service_account: Claim | None = Field(
        None,
        description="E-mail of the service account that may call /tasks, besides operators; needs "
        "TASKS_AUDIENCE.",
        json_schema_extra={"default_text": "none: operators only"},
    )
    tasks_audience: Claim | None = Field(
        None,
        description="What the `aud` of its OIDC tokens must be, as the address of the service.",
        json_schema_extra={"default_text": "none"},
    )
    tasks_issuer: Claim = Field(
        "https://accounts.google.com",
        description="Who signs its tokens; the keys are where its OpenID configuration says.",
    )
