"""The settings of who calls tasks."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings

from headrace.settings.kinds import Claim


class SchedulerSettings(BaseSettings):
    """The service account of a scheduler; a part of `Settings`."""

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
