"""A job as it is submitted, and the answer to that."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StrictInt,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from headrace.web.views.times import Time
from headrace.web.views.webhooks import JobWebhookBody

REFERENCE: Final = "#/components/schemas/{model}"
EXAMPLE: Final[dict[str, Any]] = {
    "pipeline": "documents",
    "payload": {"upload": "0192f1e2-1234-7abc-8def-001122334455"},
    "priority": 5,
    "metadata": {"case": "4711"},
}


def _priority_in_one_error(given: object, check: ValidatorFunctionWrapHandler) -> object:
    try:
        return check(given)
    except ValidationError:
        raise PydanticCustomError("priority", "give low, normal, high or 0 to 9") from None


class NewJobBody(BaseModel):
    """A job to be stored. Fields that are not here are refused."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EXAMPLE]})

    pipeline: Annotated[str, Field(min_length=1, max_length=200, description="Which pipeline.")]
    payload: Annotated[
        Any, Field(description="The input, as the pipeline's schema has it; at most 512 KiB.")
    ]
    preset: Annotated[
        str | None,
        Field(
            min_length=1, max_length=200, description="A named set of the pipeline's parameters."
        ),
    ] = None
    parameters: Annotated[
        dict[str, Any] | None, Field(description="Laid over those of the preset.")
    ] = None
    metadata: Annotated[
        dict[str, Any] | None, Field(description="Kept and shown; nothing reads it.")
    ] = None
    priority: Annotated[
        Annotated[StrictInt, Field(ge=0, le=9)] | Literal["low", "normal", "high"],
        WrapValidator(_priority_in_one_error),
        Field(description="0 to 9; `low` is 1, `normal` 5, `high` 9."),
    ] = 5
    due_at: Annotated[
        Time | None,
        Field(description="When it may start, at most 365 days ahead; now if left out."),
    ] = None
    deadline: Annotated[
        Time | None, Field(description="When to give up if it has not started.")
    ] = None
    correlation_id: Annotated[
        str | None,
        Field(min_length=1, max_length=200, description="Your own id; lists can ask for it."),
    ] = None
    ordering_key: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=200,
            description="Jobs of the tenant with the same key run one at a time, in the order of "
            "their acceptance.",
        ),
    ] = None
    concurrency_key: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=200,
            description="No more of the pipeline's jobs with the same key run at once than the "
            "pipeline says: one, as a rule.",
        ),
    ] = None
    parent_job_id: Annotated[
        UUID | None, Field(description="A job of yours on whose behalf this one runs.")
    ] = None
    webhook: Annotated[
        JobWebhookBody | None, Field(description="Told of this job, besides those of the tenant.")
    ] = None


def body_schema() -> dict[str, Any]:
    """That of `NewJobBody`, whose route reads it itself; what it refers to is in `body_parts`."""
    schema = NewJobBody.model_json_schema(ref_template=REFERENCE)
    return {name: part for name, part in schema.items() if name != "$defs"}


def body_parts() -> dict[str, Any]:
    """The schemas that `body_schema` refers to, for the OpenAPI document."""
    parts: dict[str, Any] = NewJobBody.model_json_schema(ref_template=REFERENCE)["$defs"]
    return parts


class SubmittedJob(BaseModel):
    """A job that is stored, and will be run."""

    job_id: UUID = Field(examples=["0192f1e2-1234-7abc-8def-001122334455"])
    run: int = Field(description="1; a retry opens the next.", examples=[1])
    state: Literal["queued"]
    pipeline: str = Field(examples=["documents"])
    priority: int = Field(examples=[5])
    created_at: AwareDatetime = Field(examples=["2026-11-22T17:00:00.000000Z"])
    queued_at: AwareDatetime = Field(examples=["2026-11-22T17:00:00.000000Z"])
    due_at: AwareDatetime = Field(
        description="When it may start.", examples=["2026-11-22T17:00:00.000000Z"]
    )
    check_status_at: AwareDatetime = Field(
        description="When to look at it for the first time; wait longer each time, up to 10 s.",
        examples=["2026-11-22T17:00:02.000000Z"],
    )
    webhook_secret: str | None = Field(
        default=None,
        description="Where the job has a webhook: what its messages are signed with.",
    )
