"""Rate limits and budgets, as operators see and set them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from headrace.web.views.actions import Reason
from headrace.web.views.admin import Text
from headrace.web.views.jobs import A_TIME
from headrace.web.views.taking import taken

if TYPE_CHECKING:
    from headrace.store.budgets import BudgetStatus
    from headrace.store.rate_limits import LimitStatus

B = TypeVar("B")
WHOSE = "Whose; empty for all tenants that have none of their own."
Whose = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$", description=WHOSE)]
_Number = Annotated[float, Field(gt=0, le=1e12, allow_inf_nan=False, strict=True)]
_Seconds = Annotated[float, Field(ge=0.001, le=86_400, allow_inf_nan=False, strict=True)]
Money = Annotated[
    str,
    Field(
        pattern=r"^[0-9]{1,15}(\.[0-9]{1,12})?$",
        description="As text, so that no digit is lost.",
        examples=["20.50"],
    ),
]


class ClearBody(BaseModel):
    """Which numbers are the code's again."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason
    name: Text
    tenant: Whose = ""


class _Numbers(BaseModel):
    name: Text = Field(examples=["openai"])
    tenant: Whose = ""
    requests: _Number | None = Field(None, description="In `per_s` seconds.")
    tokens: _Number | None = Field(None, description="In `per_s` seconds.")
    per_s: _Seconds | None = Field(None, description="To which those belong.")
    burst_s: _Seconds | None = Field(
        None, description="The bucket holds what flows in during so many seconds."
    )
    concurrent: Annotated[int, Field(ge=1, le=10_000, strict=True)] | None = Field(
        None, description="Calls at a time."
    )


class QuotaBody(_Numbers):
    """Numbers of a rate limit; what is left out, or null, is the code's."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason

    @model_validator(mode="after")
    def _sets_something(self) -> Self:
        numbers = (self.requests, self.tokens, self.per_s, self.burst_s, self.concurrent)
        return _with_one_of(self, numbers)


class QuotaSet(_Numbers):
    """Numbers that were set."""


class QuotaView(BaseModel):
    """A rate limit as it is now."""

    name: str = Field(examples=["openai"])
    tenant: str = Field(description="Empty where all tenants share it.")
    requests: float | None = Field(examples=[3_500])
    tokens: float | None
    per_s: float | None = Field(examples=[60])
    burst_s: float | None
    concurrent: int | None
    requests_left: float | None = Field(description="Below zero: promised to callers that wait.")
    tokens_left: float | None
    held_until: datetime | None = Field(
        description="Until when the service asked to be left alone.", examples=[A_TIME]
    )
    slots_taken: int = Field(description="Calls under way, where their number is limited.")
    set_by: str | None = Field(description="Null where all numbers are the code's.")
    reason: str | None
    set_at: datetime | None = Field(examples=[A_TIME])


class _Amounts(BaseModel):
    name: Text = Field(examples=["research"])
    tenant: Whose = ""
    tokens: Annotated[int, Field(ge=0, le=10**15, strict=True)] | None = Field(
        None, description="In a day, or in a job."
    )
    money: Money | None = None


class BudgetBody(_Amounts):
    """Amounts of a budget; what is left out, or null, is the code's."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason

    @model_validator(mode="after")
    def _sets_something(self) -> Self:
        return _with_one_of(self, (self.tokens, self.money))


class BudgetSet(_Amounts):
    """Amounts that were set."""


class BudgetView(BaseModel):
    """A budget in one of its windows."""

    name: str = Field(examples=["research"])
    tenant: str = Field(examples=["acme"])
    per: str | None = Field(description="`day` or `job`; null where nothing was spent yet.")
    window: str | None = Field(
        description="The day, in UTC, or the job's id.", examples=["2026-11-22"]
    )
    starts_at: datetime | None = Field(examples=[A_TIME])
    ends_at: datetime | None = Field(description="Null for a job.", examples=[A_TIME])
    tokens: int
    tokens_limit: int | None
    money: str = Field(examples=["12.34"])
    money_limit: str | None
    warned_at: datetime | None = Field(description="When four fifths were spent.")
    exhausted_at: datetime | None
    set_by: str | None = Field(description="Null where the amounts are the code's.")
    reason: str | None
    set_at: datetime | None


class Cleared(BaseModel):
    """A limit or a budget that has the code's numbers."""

    name: str
    tenant: str
    was_set: bool


def _with_one_of(body: B, numbers: tuple[object, ...]) -> B:
    if all(number is None for number in numbers):
        raise ValueError("no number is given: give one, or call /clear")
    return body


def quota_view(limit: LimitStatus) -> dict[str, Any]:
    """A `QuotaView`."""
    return taken(QuotaView, limit)


def budget_view(budget: BudgetStatus) -> dict[str, Any]:
    """A `BudgetView`."""
    return taken(
        BudgetView,
        budget,
        window=budget.key,
        tokens=int(budget.tokens),
        tokens_limit=None if budget.tokens_limit is None else int(budget.tokens_limit),
        money=f"{budget.money:f}",
        money_limit=None if budget.money_limit is None else f"{budget.money_limit:f}",
    )
