"""Where the remote API is, and what it is asked with, as environment variables say it."""

from __future__ import annotations

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class RemoteSettings(BaseSettings):
    """What clients of a remote API read where it is not given in code."""

    model_config = SettingsConfigDict(env_prefix="HEADRACE_", frozen=True, extra="forbid")

    api_url: str | None = Field(
        None,
        description="The API that clients use. Commands that can, ask it instead of a database.",
        json_schema_extra={"takes": "https://host, https://host:port or https://host/path"},
    )
    api_token: SecretStr | None = Field(
        None, description="An API key or a JWT, sent to that API with each request."
    )
    api_insecure: bool = Field(
        default=False,
        description="Send the token over plain HTTP to other machines too, which everybody on the "
        "way can read.",
        json_schema_extra={"takes": "true or false"},
    )
