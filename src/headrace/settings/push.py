"""The settings of workers that are woken by requests of Pub/Sub."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings

from headrace.settings.issuers import is_safe_address
from headrace.settings.kinds import Claim, TopicName


def _check_keys_url(address: str) -> str:
    if not is_safe_address(address):
        raise ValueError("no https address")
    return address


KeysUrl = Annotated[str, Field(max_length=500), AfterValidator(_check_keys_url)]


class PushSettings(BaseSettings):
    """Who may push, and how long a request may work; a part of `Settings`."""

    push_service_account: Claim | None = Field(
        None,
        description="E-mail of the service account that signs the requests of the push "
        "subscription; needs PUSH_AUDIENCE.",
        json_schema_extra={"default_text": "none: nothing may push"},
    )
    push_audience: Claim | None = Field(
        None,
        description="What the `aud` of its OIDC tokens must be, as the subscription says.",
        json_schema_extra={"default_text": "none"},
    )
    push_issuer: Claim = Field(
        "https://accounts.google.com",
        description="Who signs its tokens.",
    )
    push_keys_url: KeysUrl | None = Field(
        None,
        description="Where the keys of these tokens are.",
        json_schema_extra={"default_text": "where the issuer's OpenID configuration says"},
    )
    push_subscription: TopicName | None = Field(
        None,
        description="The subscription whose messages are taken; those of others are refused.",
        json_schema_extra={"default_text": "the topic of jobs with -push-sub"},
    )
    push_slice_s: float = Field(
        540.0,
        ge=10,
        le=540,
        description="Time that one request may work on a job, which then goes on with the next.",
    )
