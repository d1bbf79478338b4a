"""Circuit breakers as operators see them, and the bodies of what they do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from headrace.web.views.actions import Reason
from headrace.web.views.times import Time

if TYPE_CHECKING:
    from headrace.store.breakers import BreakerRow

State = Literal["closed", "open", "half_open"]
Tenant = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
LONGEST_S = 86_400


class ResetBody(BaseModel):
    """Which breakers are closed, and why."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason
    tenant: Tenant | None = Field(
        default=None, description="Of this tenant; of all that have one if left out."
    )


class TripBody(ResetBody):
    """Which breakers are opened, for how long, and why."""

    open_for_s: int | None = Field(
        default=None,
        strict=True,
        ge=1,
        le=LONGEST_S,
        description="Seconds until a call is tried; until it is reset if left out.",
    )


class BreakerView(BaseModel):
    """A circuit breaker that calls have used."""

    name: str = Field(examples=["openai"])
    tenant: str | None = Field(description="Whose it is; null where all tenants share it.")
    state: State
    since: Time
    why: str = Field(examples=["5 failures within 60 s, the last of them ConnectTimeout"])
    probe_at: Time | None = Field(
        description="When a call is tried; null while it is not open, or open until it is reset."
    )
    is_probing: bool = Field(description="Whether a call is being tried.")
    failures: int = Field(description="That count towards opening it.")
    successes: int = Field(description="Of calls that were tried since it was last half open.")


class SetBreakerView(BaseModel):
    """A breaker that was opened or closed by hand."""

    tenant: str | None
    before: State
    state: State


class SetBreakers(BaseModel):
    """What was opened or closed by hand."""

    name: str = Field(examples=["openai"])
    breakers: list[SetBreakerView]


def breaker_view(breaker: BreakerRow) -> dict[str, Any]:
    """What is answered of a breaker."""
    return {
        "name": breaker.name,
        "tenant": breaker.tenant or None,
        "state": breaker.state,
        "since": breaker.changed_at,
        "why": breaker.why,
        "probe_at": breaker.probe_at,
        "is_probing": breaker.probing,
        "failures": breaker.failures,
        "successes": breaker.successes,
    }
