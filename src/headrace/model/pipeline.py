"""A pipeline: what users define, and what the engine reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

from headrace.model import facts
from headrace.model.annotations import type_text
from headrace.model.assembly import assemble
from headrace.model.codec import codec_for
from headrace.model.definition import read_function
from headrace.model.fitting import fit
from headrace.model.hashing import definition_hash
from headrace.model.options import StepOptions, check_options, options_of
from headrace.model.schedule import Schedule, ScheduleOptions, define_schedule
from headrace.model.site import site_of_caller
from headrace.model.slot import Surroundings
from headrace.model.storable import storable
from headrace.model.undo import UndoGraph, add_undo, undo_graph

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import TypeForm

    from headrace.model.awaited import AwaitedSignal
    from headrace.model.codec import Codec
    from headrace.model.context import JsonValue
    from headrace.model.duration import Duration
    from headrace.model.options import RunsIn
    from headrace.model.retry import Retry
    from headrace.model.schedule import Decorator
    from headrace.model.slots import Missed
    from headrace.model.step import Step

InputT = TypeVar("InputT")
OutputT = TypeVar("OutputT")
FunctionT = TypeVar("FunctionT", bound=Callable[..., object])


class Pipeline(Generic[InputT, OutputT]):
    """A named, versioned graph of steps from an input to an output.

    Steps are added with `@pipeline.step`; each is checked against those above it. Independent
    steps run at the same time. A job's result is the output of the last step that returns the
    `output` type.

    Attributes:
        name: What jobs are submitted to; unique in an app.
        version: MAJOR.MINOR.PATCH, as it was given.
        version_key: The same as numbers, to compare.
        queue: Where its jobs wait.
        presets: Named sets of parameters.
        retry: For steps that have none of their own.
        timeout: The limit of a job's running time; None for the worker's default.
        costly: Whether tenants may submit few of its jobs in a minute.
        inline_output: Whether webhooks and topics are told results up to 64 KiB themselves.
        migrations: The folder of the SQL that makes its tables; None where it has none.
        concurrency: Of its jobs, the most that run at once; None for any number.
        key_concurrency: Of its jobs with one concurrency key, the most that run at once.
        ordered_by: What a job's ordering key is that names none; None for no key.
        input: Writes and reads the input.
        output: Writes and reads values of the output type.
        input_name: The parameter that takes the input; None until a step takes it.
        steps: By name, in the order of their definition.
        dependents: For each step, the steps that wait for it.
        signals: What can be sent to its jobs, by name.
    """

    def __init__(
        self,
        name: str,
        *,
        input: TypeForm[InputT],  # noqa: A002 - the word of the whole interface
        output: TypeForm[OutputT],
        version: str = "1.0.0",
        queue: str = "default",
        presets: Mapping[str, Mapping[str, JsonValue]] | None = None,
        retry: Retry | None = None,
        timeout: Duration | None = None,
        costly: bool = False,
        inline_output: bool = False,
        migrations: Path | None = None,
        concurrency: int | None = None,
        key_concurrency: int = 1,
        ordered_by: Literal["owner"] | None = None,
    ) -> None:
        """Define a pipeline without steps.

        Args:
            name: Letters, digits, `_`, `-` and `.`; at most 100 of them.
            input: The type of a job's input.
            output: The type of a job's result.
            version: MAJOR.MINOR.PATCH; a worker runs jobs of this version and of older ones.
            queue: Where its jobs wait.
            presets: Named sets of parameters, JSON values, of which a submission may choose one.
            retry: How steps are tried that do not say it themselves.
            timeout: The limit of a job's running time in all; at most 7,200 s.
            inline_output: Whether events that leave carry the result where it has 64 KiB of JSON
                at most, besides the address where it is read. It leaves the database with them.
            costly: Whether the API counts its submissions against RATE_TENANT_COSTLY, too.
            migrations: A folder of files `NNNN_name.sql` that make its own tables: numbered from 1
                without gaps, applied by `headrace migrate` after the engine's, in development when
                the app opens, and never edited once a database has them.
            concurrency: Most of its jobs that run at once over all workers, 1 to 10,000; those of
                all versions count, by what the newest one says. Any number if left out.
            key_concurrency: The same for its jobs with one `concurrency_key`.
            ordered_by: "owner" makes the owner the ordering key of each job that names none: what
                one owner submits runs one at a time, in order.

        Raises:
            DefinitionError: A value is out of range, or a type cannot be stored.
        """
        site = site_of_caller(f"Pipeline({name!r})")
        self.name = facts.checked_name("name", name, site)
        self.version_key = facts.version_key(version, site)
        self.version = version
        self.queue = facts.checked_name("queue", queue, site)
        self.presets = facts.checked_presets(presets, site)
        self.retry = facts.checked_retry(retry, site)
        self.timeout = facts.checked_timeout(timeout, site)
        self.costly = costly
        self.inline_output = inline_output
        self.migrations = migrations
        self.concurrency = facts.checked_concurrency("concurrency", concurrency, site)
        self.key_concurrency = facts.checked_concurrency("key_concurrency", key_concurrency, site)
        self.ordered_by = facts.checked_order(ordered_by, site)
        self.input: Codec[InputT] = storable(input, site, "the input")
        self.output: Codec[OutputT] = storable(output, site, "the output")
        self.input_name: str | None = None
        self.steps: dict[str, Step] = {}
        self.dependents: dict[str, tuple[str, ...]] = {}
        self.schedules: dict[str, Schedule] = {}
        self.signals: dict[str, AwaitedSignal] = {}
        self._site = site
        self._hash: str | None = None
        self._result: tuple[Step, Codec[OutputT]] | None = None
        self._undo_graph: UndoGraph | None = None

    def __repr__(self) -> str:
        return f"<Pipeline {self.name} {self.version}: {', '.join(self.steps) or 'no steps'}>"

    @overload
    def step(self, function: FunctionT, /) -> FunctionT: ...

    @overload
    def step(
        self,
        *,
        name: str | None = None,
        was: str | Sequence[str] = (),
        after: Sequence[Callable[..., object]] = (),
        timeout: Duration | None = None,
        retry: Retry | None = None,
        parallel: int = 10,
        runs_in: RunsIn | None = None,
        memory: int | None = None,
        resumable: bool = False,
        delay: Duration | None = None,
        undo: Callable[..., object] | None = None,
        undo_retry: Retry | None = None,
    ) -> Callable[[FunctionT], FunctionT]: ...

    def step(self, *functions: Any, **options: Any) -> Any:
        """Make a function a step of this pipeline; the function itself stays what it is.

        A parameter is filled by the first rule that applies: its default is `Each(...)`,
        `Signal(...)` or `Use(...)`; its annotation is `StepContext`, `SyncContext` or
        `Transaction`; its name is that of an earlier step, whose output it gets (the list of
        outputs, where that step runs once per item); else it is the job's input.

        Args:
            *functions: The function, where the decorator is written without parentheses.
            **options: Keywords only. `name`: the stored name, that of the function if left out.
                `was`: earlier names; outputs stored under them are found. `after`: earlier steps
                that must have ended, where no data says so. `timeout`: the limit of one try, at
                most 1,800 s. `retry`: how often and when it is tried. `parallel`: the most items
                of one job at the same time, 1 to 1,000, 10 if left out. `runs_in`: "thread" (if
                left out) or "process", for plain functions. `memory`: MiB for its process.
                `resumable`: it stores what it did by `once`, so a worker whose time is over may
                cut it off. `delay`: it starts that long after its inputs are there, up to 365 days;
                meanwhile it holds no slot. `undo`: a function that takes back what the step did,
                called when its job fails or is cancelled afterwards; it takes what the step made
                and what the step was given, each by its name. `undo_retry`: how that is tried;
                as the step, if left out.

        Returns:
            The function itself, or a decorator that returns it.

        Raises:
            DefinitionError: Something about the step is wrong; it was not added.
        """
        given = options_of(functions, options, self.name)
        if functions:
            return self._add(functions[0], given)
        return lambda function: self._add(function, given)

    def schedule(
        self,
        cron: str,
        *,
        timezone: str = "UTC",
        missed: Missed = "once",
        name: str | None = None,
        tenant: str = "default",
        owner: str = "default",
    ) -> Decorator[InputT]:
        """Submit a job at each slot of a cron expression; decorates what makes its input.

        The function gets the time of the slot, in the schedule's zone, and returns the input. It is
        plain or async, ends within 20 s, and may be called more than once for a slot, of which
        there is one job all the same. The function itself stays what it is.

        Args:
            cron: Minute, hour, day of the month, month and day of the week, as "5 * * * *", or
                @hourly, @daily, @weekly, @monthly, @yearly.
            timezone: Name of a zone of the IANA database, whose clocks the expression means.
            missed: What becomes of slots that were missed by more than SCHEDULE_GRACE_S, because
                no worker ran: "skip" none has a job, "once" the latest, "all" each.
            name: The stored name, that of the function if left out; unique in the pipeline.
            tenant: Whose the jobs are.
            owner: Whose, inside the tenant.

        Returns:
            A decorator that returns the function itself.

        Raises:
            DefinitionError: Something about it is wrong; it was not added.
        """
        given = ScheduleOptions(
            cron=cron, timezone=timezone, missed=missed, name=name, tenant=tenant, owner=owner
        )

        def add(function: Any) -> Any:  # noqa: ANN401 - any function
            made = define_schedule(self, function, given)
            self.schedules[made.name] = made
            return function

        return add

    def _add(self, function: Any, given: StepOptions) -> Any:  # noqa: ANN401 - any function
        declaration = read_function(self.name, function)
        options = check_options(given, declaration)
        around = Surroundings(self.steps, self.input.annotation, self.input_name, self.signals)
        step, input_name = assemble(declaration, options, around, self.retry)
        around = replace(around, input_name=input_name)
        step, self.input_name = add_undo(step, options, around, self.name)
        self.steps[step.name] = step
        self.dependents[step.name] = ()
        self.signals |= {signal.name: signal for signal in step.signals}
        for needed in step.needs:
            self.dependents[needed] += (step.name,)
        self._hash = self._result = self._undo_graph = None
        return function

    def check(self) -> None:
        """Check what only the whole pipeline can tell; called when the app is built.

        Raises:
            DefinitionError: PIPELINE_EMPTY or OUTPUT_MISSING.
        """
        self._known_result()

    @property
    def result_step(self) -> str:
        """The step whose output is the job's result.

        Raises:
            DefinitionError: As `check`.
        """
        return self._known_result()[0].name

    @property
    def result(self) -> Codec[OutputT]:
        """Reads a job's stored result as the type that the result step returns.

        Raises:
            DefinitionError: As `check`.
        """
        return self._known_result()[1]

    @property
    def undo_graph(self) -> UndoGraph:
        """The steps of the job that undoes a run; empty where no step has an undo."""
        if self._undo_graph is None:
            self._undo_graph = undo_graph(self.steps)
        return self._undo_graph

    @property
    def definition_hash(self) -> str:
        """16 hexadecimal digits over the names, the dependencies and the stored types.

        It does not change with code, limits, docstrings or the version.
        """
        if self._hash is None:
            self._hash = definition_hash(self)
        return self._hash

    def _known_result(self) -> tuple[Step, Codec[OutputT]]:
        if self._result is None:
            self._result = self._find_result()
        return self._result

    def _find_result(self) -> tuple[Step, Codec[OutputT]]:
        if not self.steps:
            raise self._site.error(
                "PIPELINE_EMPTY",
                "it has no steps; add functions with @step, and import the module that has them",
            )
        for step in reversed(self.steps.values()):
            arrived = fit(step.produces, self.output.annotation)
            if arrived is not None:
                return step, codec_for(arrived)
        returned = ", ".join(
            f"{step.name} -> {type_text(step.produces)}" for step in self.steps.values()
        )
        raise self._site.error(
            "OUTPUT_MISSING",
            f"no step returns the output type, {self.output.type_name}; there are {returned}",
        )
