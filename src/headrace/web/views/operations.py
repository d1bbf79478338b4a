"""Dead letters, pipelines and queues as the API shows them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic import BaseModel, Field

from headrace.web.views.errors import StepError, shown_message
from headrace.web.views.jobs import A_TIME, AN_ID
from headrace.web.views.taking import taken

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.model.awaited import AwaitedSignal
    from headrace.model.pipeline import Pipeline
    from headrace.model.step import Step
    from headrace.settings import Settings
    from headrace.store.reads import DeadLetter, QueueStatus, RegisteredPipeline


class DeadLetterView(BaseModel):
    """A run that failed and was not started again."""

    job_id: UUID = Field(examples=[AN_ID])
    run: int = Field(examples=[1])
    owner: str = Field(examples=["ann"])
    queue: str = Field(examples=["default"])
    pipeline: str = Field(examples=["documents"])
    version: str = Field(examples=["1.0.0"])
    cause: str = Field(description="Why the job failed.", examples=["permanent_error"])
    error: StepError
    attempts: int = Field(description="Tries of the step that failed.", examples=[1])
    lease_losses: int = Field(examples=[0])
    correlation_id: str | None
    failed_at: datetime = Field(examples=[A_TIME])


class DeadLetterPage(BaseModel):
    """Part of a list of dead letters, newest first."""

    items: list[DeadLetterView]
    limit: int
    next: str | None = Field(description="`cursor` of the next page; null on the last one.")


class PipelineStep(BaseModel):
    """A step of a pipeline."""

    name: str = Field(examples=["parse"])
    needs: list[str] = Field(description="The steps that it waits for.")
    per_item: bool = Field(description="Whether it runs once for each item of a list.")
    attempts: int = Field(description="How often it is tried.", examples=[3])
    timeout_s: float = Field(description="Limit of one try, in seconds.", examples=[300.0])
    may_skip: bool
    signals: list[str] = Field(description="What it waits for from outside.", examples=[[]])
    delay_s: float | None = Field(description="So long after its inputs are there it starts.")
    has_child: bool = Field(description="Whether it ends when a job that it submits does.")


class PipelineSignal(BaseModel):
    """A value that can be sent to a job, and for which a step waits."""

    name: str = Field(examples=["approval"])
    value_schema: dict[str, Any] = Field(description="The JSON schema of its values.")
    timeout_s: float = Field(description="So long steps wait for it.", examples=[259_200.0])
    may_lack: bool = Field(
        description="Whether steps go on without a value that does not come in time."
    )


class PipelineVersion(BaseModel):
    """A version that workers or submissions have registered."""

    version: str = Field(examples=["1.0.0"])
    hash: str = Field(description="Of its definition.")
    steps: list[str] = Field(description="Names.", examples=[["parse", "split"]])
    registered_at: datetime = Field(examples=[A_TIME])


class PipelineLimits(BaseModel):
    """How large and how long its jobs may be."""

    payload_bytes: int = Field(description="Largest payload, in bytes.", examples=[524_288])
    job_timeout_s: float = Field(description="Running time of a job, in seconds.")
    items: int = Field(description="Most items of a step that runs once for each.")
    output_bytes: int = Field(description="Largest output of a step, in bytes.")


class PipelineView(BaseModel):
    """A pipeline to which jobs can be submitted here."""

    name: str = Field(examples=["documents"])
    version: str = Field(description="Of new jobs.", examples=["1.0.0"])
    queue: str = Field(examples=["default"])
    presets: dict[str, Any] = Field(description="Parameters by name of the preset.")
    steps: list[PipelineStep]
    signals: list[PipelineSignal]
    limits: PipelineLimits
    versions: list[PipelineVersion] = Field(description="Registered so far, newest first.")


class PipelineDetail(PipelineView):
    """A pipeline with the JSON schemas of what goes in and comes out."""

    input_schema: dict[str, Any] = Field(description="Of `payload`.")
    output_schema: dict[str, Any] = Field(description="Of `result`.")


class QueueView(BaseModel):
    """A queue; the counts are of the jobs that the caller may see."""

    name: str = Field(examples=["default"])
    is_paused: bool = Field(description="Whether nothing more is started there.")
    paused_at: datetime | None
    concurrency: int | None = Field(
        description="Most of its jobs that run at once; null: any number."
    )
    depth: int = Field(description="Jobs that are queued.", examples=[0])
    due: int = Field(description="Those of them that could start now.", examples=[0])
    blocked: int = Field(
        description="Those of them that are due, and wait for other jobs of their key or tenant.",
        examples=[0],
    )
    waiting: int = Field(
        description="Those of them that wait for their time, a signal or another job.",
        examples=[0],
    )
    running: int = Field(examples=[0])
    oldest_age_s: float | None = Field(
        description="Seconds since the oldest job that could start became due; null without one."
    )


def dead_letter_view(letter: DeadLetter) -> dict[str, Any]:
    """A `DeadLetterView`."""
    error = {
        "code": letter.code,
        "kind": letter.error_class,
        "message": shown_message(letter.code, letter.message),
        "step": letter.step or None,
        "item": letter.item or None,
    }
    return taken(DeadLetterView, letter, job_id=letter.job, error=error)


def pipeline_view(
    pipeline: Pipeline[Any, Any], registered: Sequence[RegisteredPipeline], settings: Settings
) -> dict[str, Any]:
    """A `PipelineView`.

    Args:
        pipeline: The code.
        registered: Every version of every pipeline.
        settings: Whose limits hold where the pipeline sets none.
    """
    job_timeout = pipeline.timeout
    return {
        "name": pipeline.name,
        "version": pipeline.version,
        "queue": pipeline.queue,
        "presets": {name: dict(values) for name, values in pipeline.presets.items()},
        "steps": [_step_view(step, settings) for step in pipeline.steps.values()],
        "signals": [_signal_view(signal) for signal in pipeline.signals.values()],
        "limits": {
            "payload_bytes": settings.max_payload_bytes,
            "job_timeout_s": (
                settings.job_timeout_s if job_timeout is None else job_timeout.total_seconds()
            ),
            "items": settings.fanout_max,
            "output_bytes": settings.artifact_max_bytes,
        },
        "versions": [
            {
                "version": known.version,
                "hash": known.hash,
                "steps": [step["name"] for step in known.definition["steps"]],
                "registered_at": known.registered_at,
            }
            for known in registered
            if known.name == pipeline.name
        ],
    }


def pipeline_detail(
    pipeline: Pipeline[Any, Any], registered: Sequence[RegisteredPipeline], settings: Settings
) -> dict[str, Any]:
    """A `PipelineDetail`."""
    return {
        **pipeline_view(pipeline, registered, settings),
        "input_schema": pipeline.input.schema(),
        "output_schema": pipeline.output.schema(),
    }


def _step_view(step: Step, settings: Settings) -> dict[str, Any]:
    timeout = step.timeout
    return {
        "name": step.name,
        "needs": step.needs,
        "per_item": step.each is not None,
        "attempts": step.retry.attempts,
        "timeout_s": settings.step_timeout_s if timeout is None else timeout.total_seconds(),
        "may_skip": step.may_skip,
        "signals": [signal.name for signal in step.signals],
        "delay_s": step.delay and step.delay.total_seconds(),
        "has_child": step.has_child,
    }


def _signal_view(signal: AwaitedSignal) -> dict[str, Any]:
    return {
        "name": signal.name,
        "value_schema": signal.codec.schema(),
        "timeout_s": signal.timeout.total_seconds(),
        "may_lack": signal.may_lack,
    }


def queue_view(queue: QueueStatus) -> dict[str, Any]:
    """A `QueueView`."""
    return taken(QueueView, queue, is_paused=queue.paused_at is not None)
