"""Which live jobs the pipelines of an app could not go on with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from headrace.errors import CodecError
from headrace.model.item_result import result_text
from headrace.model.step import Source

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from headrace.model.codec import Codec
    from headrace.model.pipeline import Pipeline
    from headrace.model.step import Step
    from headrace.store.live import LiveJob, StoredOutput


@dataclass(frozen=True, slots=True)
class Problem:
    """One way in which jobs are stranded: the same for all jobs of a pipeline and version."""

    pipeline: str
    version: str
    kind: str
    """`pipeline_gone`, `version_older`, `queue_not_served`, `step_gone`, `input_unfit`,
    `output_unfit`, `signal_gone`, `signal_unfit`."""
    text: str
    """What is wrong, and what to do about it."""


@dataclass(slots=True)
class Stranded:
    """The jobs with one problem."""

    problem: Problem
    jobs: int = 0
    example: str = ""


@dataclass(slots=True)
class Findings:
    """What was found so far.

    Attributes:
        pipelines: Of the app, by name.
        queues: Which its workers serve.
        seen: Jobs that were looked at.
        stranded: The problems, with their jobs.
    """

    pipelines: Mapping[str, Pipeline[Any, Any]]
    queues: frozenset[str]
    seen: int = 0
    stranded: dict[tuple[str, ...], Stranded] = field(default_factory=dict)

    def look_at(self, job: LiveJob) -> None:
        """Note what stands in the way of a job."""
        self.seen += 1
        for problem in problems_of(job, self.pipelines.get(job.pipeline), self.queues):
            # The text may quote a value: the jobs of one problem are still counted together.
            key = (problem.pipeline, problem.version, problem.kind, problem.text.split(": ")[0])
            found = self.stranded.setdefault(key, Stranded(problem, example=str(job.id)))
            found.jobs += 1


def problems_of(
    job: LiveJob, pipeline: Pipeline[Any, Any] | None, queues: frozenset[str]
) -> Iterator[Problem]:
    """What stands in the way of one job."""

    def problem(kind: str, text: str) -> Problem:
        return Problem(job.pipeline, job.version, kind, text)

    if pipeline is None:
        yield problem("pipeline_gone", "the app has no pipeline of that name; keep it until then")
        return
    if tuple(map(int, job.version.split("."))) > pipeline.version_key:
        yield problem(
            "version_older",
            f"the app has {pipeline.version}, and a worker takes jobs of its version and older "
            "ones only; raise the version",
        )
    if job.queue not in queues:
        yield problem("queue_not_served", f"they wait in queue {job.queue}; serve it by --queues")
    yield from _unfit_inputs(job, pipeline, problem)
    yield from _unfit_outputs(job, pipeline, problem)
    yield from _unfit_signals(job, pipeline, problem)


def _unfit_signals(job: LiveJob, pipeline: Pipeline[Any, Any], problem: Any) -> Iterator[Problem]:  # noqa: ANN401
    for name in sorted(set(job.awaited) - pipeline.signals.keys()):
        yield problem(
            "signal_gone",
            f"a step waits for the signal {name}, which no step takes any more: nobody can send "
            "it, and they go on only when its time is over; keep it until they have ended",
        )
    for name, value in job.received.items():
        signal = pipeline.signals.get(name)
        wrong = None if signal is None else _misfit(signal.codec, value)
        if wrong:
            yield problem(
                "signal_unfit",
                f"the value that was sent as {name} cannot be read: {wrong}; accept the older "
                "form, or give the signal another name",
            )


def _unfit_inputs(job: LiveJob, pipeline: Pipeline[Any, Any], problem: Any) -> Iterator[Problem]:  # noqa: ANN401
    done = {stored.step for stored in job.stored}
    for step in pipeline.steps.values():
        if not done.isdisjoint((step.name, *step.was)):
            continue
        for binding in step.bindings:
            if binding.source is Source.INPUT and binding.codec is not None:
                wrong = _misfit(binding.codec, job.input)
                if wrong:
                    yield problem(
                        "input_unfit",
                        f"step {step.name} cannot read the input: {wrong}; accept the older form",
                    )
                    return


def _unfit_outputs(job: LiveJob, pipeline: Pipeline[Any, Any], problem: Any) -> Iterator[Problem]:  # noqa: ANN401
    owners = {name: step for step in pipeline.steps.values() for name in (step.name, *step.was)}
    gone = sorted({stored.step for stored in job.stored} - owners.keys())
    for name in gone:
        yield problem(
            "step_gone",
            f"step {name} has stored outputs, but there is none of that name; "
            f'if it was renamed, write was="{name}"',
        )
    told: set[str] = set()
    for stored in job.stored:
        step = owners.get(stored.step)
        if step is None or step.name in told:
            continue
        wrong = _misread(stored, step, pipeline)
        if wrong:
            told.add(step.name)
            yield problem("output_unfit", wrong)


def _misread(stored: StoredOutput, step: Step, pipeline: Pipeline[Any, Any]) -> str | None:
    """Why a stored output cannot be read by the steps that need it, or as the result."""
    if (stored.state == "planned" or bool(stored.item)) != (step.each is not None):
        before, now = ("once", "once per item") if step.each else ("once per item", "once")
        return (
            f"step {step.name} ran {before} and now runs {now}: its outputs are not used; rename it"
        )
    may_fail = step.each is not None and step.each.at_least is not None
    if stored.state == "failed" and not may_fail:
        return f"items of step {step.name} have failed, and it needs all: keep its at_least="
    if stored.state in {"planned", "failed"} or stored.output is None:
        return None
    text = stored.output
    if step.each is not None:
        text = f"[{result_text(stored.item, text, failed=False) if may_fail else text}]"
    for reader, codec in _readers(step, pipeline):
        wrong = _misfit(codec, text)
        if wrong:
            return (
                f"{reader} cannot read the output of step {step.name}: {wrong}; "
                "accept the older form, or rename the step"
            )
    return None


def _readers(step: Step, pipeline: Pipeline[Any, Any]) -> Iterator[tuple[str, Codec[Any]]]:
    for dependent in pipeline.dependents[step.name]:
        for binding in pipeline.steps[dependent].bindings:
            if binding.step == step.name and binding.codec is not None:
                yield f"step {dependent}", binding.codec
    if pipeline.result_step == step.name:
        yield "the result", pipeline.result


def _misfit(codec: Codec[Any], text: str) -> str | None:
    try:
        codec.decode(text)
    except CodecError as error:
        return "; ".join(map(str, error.problems))
    return None
