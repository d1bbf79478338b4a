"""Settings of circuit breakers that say nothing else themselves."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings


class BreakerSettings(BaseSettings):
    """What a `CircuitBreaker` does whose options are left out."""

    breaker_failures: int = Field(
        5, ge=1, le=100, description="Failures that open a circuit breaker."
    )
    breaker_window_s: float = Field(
        60, ge=1, le=3_600, description="The time within which they happen."
    )
    breaker_open_s: float = Field(
        30, ge=1, le=3_600, description="How long an open breaker lets no call through."
    )
    breaker_successes: int = Field(
        2, ge=1, le=10, description="Calls that go well one by one and close it."
    )
