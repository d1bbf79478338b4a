"""The settings of addresses: where a process listens, and where people reach it."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings

from headrace.settings.kinds import Port, PublicAddress


class ListeningSettings(BaseSettings):
    """A part of `Settings`."""

    host: str = Field("127.0.0.1", min_length=1, description="Address where the API listens.")
    port: Port = Field(8_080, description="Its port; the platform's PORT where this is not set.")
    public_url: PublicAddress | None = Field(
        None,
        description="Where people reach the API, for the links that they are sent; in production "
        "an https address, without which no links are made.",
        json_schema_extra={
            "default_text": "http://HOST:PORT outside of production, else none",
            "takes": "an address as https://jobs.example.com, with a path if need be",
        },
    )
    worker_port: Port | None = Field(
        None,
        description="Where a worker answers /health, /ready, /stats and /metrics, at HOST; the "
        "platform's PORT is taken where this is not set.",
        json_schema_extra={"default_text": "none: it answers nowhere"},
    )
