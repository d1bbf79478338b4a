"""Gives a job what earlier claims stored of it, without any I/O."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, TypeAlias

from headrace.worker.failure import too_few
from headrace.worker.stored import as_output, read_plan

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headrace.model.step import Step
    from headrace.worker.run import JobRun

Found: TypeAlias = dict[tuple[str, str], tuple[str, str | None, str | None]]
"""State, output and artifact by step and item."""


def resume(run: JobRun, rows: Iterable[tuple[str, str, str, str | None, str | None]]) -> None:
    """Take over what is stored: (step, item, state, output, artifact)."""
    found = {(step, item): (state, output, ref) for step, item, state, output, ref in rows}
    for step in run.graph.steps.values():
        if step.each is None:
            _resume_step(run, step, found)
        else:
            _resume_fan(run, step, found)
    run.ready = deque(step for step in run.ready if not run.is_complete(step.name))
    run.arming = [step for step in run.arming if not run.is_complete(step.name)]


def _resume_step(run: JobRun, step: Step, found: Found) -> None:
    for name in (step.name, *step.was):
        if (name, "") in found:
            run.left -= 1
            run.complete(step.name, as_output(*found[name, ""][1:]))
            return


def _resume_fan(run: JobRun, step: Step, found: Found) -> None:
    for name in (step.name, *step.was):
        plan = found.get((name, ""))
        if plan is None:
            continue
        fan = run.plan(step.name, read_plan(plan[1] or "[]"))
        for (owner, item), (state, output, artifact) in found.items():
            if owner == name and item in fan.values:
                fan.left -= 1
                if state == "failed":
                    fan.errors[item] = output or "{}"
                else:
                    fan.outputs[item] = as_output(output, artifact)
        fan.waiting = OrderedDict.fromkeys(key for key in fan.values if not fan.has(key))
        fan.failed = len(fan.errors)
        run.failure = run.failure or too_few(step, fan)
        if not fan.left:
            run.left -= 1
            run.complete(step.name, None)
        return
