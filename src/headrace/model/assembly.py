"""From a function and its options to a step of a pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.model.awaited import child_result
from headrace.model.fan_out import gathered_type
from headrace.model.graph import wire
from headrace.model.site import did_you_mean
from headrace.model.slot import steps_text
from headrace.model.step import Source, Step
from headrace.model.storable import storable

if TYPE_CHECKING:
    from headrace.errors import DefinitionError
    from headrace.model.annotations import Annotation
    from headrace.model.definition import Declaration
    from headrace.model.graph import Wiring
    from headrace.model.options import CheckedOptions
    from headrace.model.retry import Retry
    from headrace.model.site import Site
    from headrace.model.slot import Surroundings


def assemble(
    declaration: Declaration, options: CheckedOptions, around: Surroundings, retry: Retry
) -> tuple[Step, str | None]:
    """Build a step, and tell the name of the job's input as it is known from here on.

    Args:
        declaration: The function.
        options: Its options.
        around: The pipeline as it is above this step.
        retry: For a step without one of its own.

    Raises:
        DefinitionError: The step does not fit the pipeline, or its output cannot be stored.
    """
    site = declaration.site
    _refuse_taken_names(options, around, site)
    of_child = child_result(declaration.returns, site)
    returns = declaration.returns if of_child is None else of_child
    output = storable(returns, site, "the output")
    wiring = wire(declaration, around)
    _refuse_idle_option(options, wiring, site, has_child=of_child is not None)
    if options.name == wiring.input_name:
        raise _named_as_input(options.name, site)
    produces: Annotation = output.annotation
    if wiring.each is not None:
        produces = gathered_type(produces, wiring.each)
    step = Step(
        name=options.name,
        was=options.was,
        position=len(around.steps),
        function=declaration.function,
        is_async=declaration.is_async,
        runs_in=options.runs_in,
        memory=options.memory,
        resumable=options.resumable,
        bindings=wiring.bindings,
        output=output,
        may_skip=output.accepts_none,
        needs=_needs(options, around, wiring, site),
        each=wiring.each,
        retry=options.retry or retry,
        timeout=options.timeout,
        parallel=options.parallel,
        produces=produces,
        signals=wiring.signals,
        delay=options.delay,
        has_child=of_child is not None,
    )
    return step, wiring.input_name


def _refuse_idle_option(
    options: CheckedOptions, wiring: Wiring, site: Site, *, has_child: bool
) -> None:
    sources = {binding.source for binding in wiring.bindings}
    if options.resumable and Source.CONTEXT not in sources:
        raise site.error(
            "STEP_OPTION",
            "resumable=True is for a step that stores what it did with `once`; take a StepContext",
        )
    if has_child and Source.TRANSACTION in sources:
        raise site.error(
            "CHILD_TYPE",
            "a step that returns a JobHandle has no output of its own to be committed with a "
            "Transaction; write in an earlier step, and submit the child here",
        )
    if has_child and (options.runs_in == "process" or Source.CONTEXT not in sources):
        raise site.error(
            "CHILD_TYPE",
            "a step that returns a JobHandle submits its child with `ctx.submit`; take a "
            "StepContext (or a SyncContext in a plain function that runs in a thread)",
        )


def _refuse_taken_names(options: CheckedOptions, around: Surroundings, site: Site) -> None:
    owners = {old: step for step in around.steps.values() for old in (step.name, *step.was)}
    for name in (options.name, *options.was):
        if name in owners:
            raise site.error(
                "STEP_NAME_TAKEN",
                f"`{name}` is the name, or an earlier name, of the step {owners[name].name}, and "
                "outputs are stored by name; rename one of them, or use name=",
            )
    if options.name in around.signals:
        raise site.error(
            "SIGNAL_NAME",
            f"`{options.name}` is the name of a signal of this pipeline; rename the step, or give "
            "it another stored name with name=",
        )
    if options.name == around.input_name:
        raise _named_as_input(options.name, site)


def _named_as_input(name: str, site: Site) -> DefinitionError:
    return site.error(
        "STEP_IS_INPUT",
        f"`{name}` is the name of the job's input in this pipeline; rename the step, or give it "
        "another stored name with name=",
    )


def _needs(
    options: CheckedOptions, around: Surroundings, wiring: Wiring, site: Site
) -> tuple[str, ...]:
    needed = {binding.step for binding in wiring.bindings}
    if wiring.each is not None:
        needed.add(wiring.each.source_step)
    for function in options.after:
        step = around.step_of(function)
        if step is None:
            name = getattr(function, "__name__", repr(function))
            raise site.error(
                "AFTER_UNKNOWN",
                f"after= names `{name}`, which is not an earlier step of this pipeline; there "
                f"are {steps_text(around.steps)}{did_you_mean(name, around.steps)}",
            )
        needed.add(step.name)
    return tuple(name for name in around.steps if name in needed)
