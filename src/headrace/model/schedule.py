"""A schedule: a function that makes a job's input from the time of its slot, and when it does."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, overload

from headrace.model.annotations import type_text
from headrace.model.cron import Cron, CronError, ZoneError
from headrace.model.definition import MISSING
from headrace.model.fitting import fit
from headrace.model.options import MAX_NAME_LENGTH, is_name
from headrace.model.site import site_of
from headrace.model.slots import POLICIES

if TYPE_CHECKING:
    from headrace.model.annotations import Annotation
    from headrace.model.pipeline import Pipeline
    from headrace.model.site import Site
    from headrace.model.slots import Missed

InputT = TypeVar("InputT")

LONGEST_TEXT: Final = 200
SHAPE: Final = "write `def name(slot: datetime) -> {}`, plain or async"


class Decorator(Protocol[InputT]):
    """What `@pipeline.schedule(...)` is applied by: it returns the function as it is."""

    @overload
    def __call__(
        self, function: Callable[[datetime], Awaitable[InputT]], /
    ) -> Callable[[datetime], Awaitable[InputT]]: ...

    @overload
    def __call__(
        self, function: Callable[[datetime], InputT], /
    ) -> Callable[[datetime], InputT]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleOptions:
    """The options of one schedule as they were given."""

    cron: str
    timezone: str
    missed: Missed
    name: str | None
    tenant: str
    owner: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A schedule of a pipeline.

    Attributes:
        pipeline: Its pipeline's name.
        name: Its own, unique in the pipeline.
        function: Makes the input of a slot's job.
        is_async: Whether it is to be awaited.
        cron: When.
        missed: What becomes of slots that were missed.
        tenant: Whose its jobs are.
        owner: Whose, inside the tenant.
    """

    pipeline: str
    name: str
    function: Callable[[datetime], Any]
    is_async: bool
    cron: Cron
    missed: Missed
    tenant: str
    owner: str

    @property
    def address(self) -> str:
        """What commands and routes call it: `reports.nightly`."""
        return f"{self.pipeline}.{self.name}"


def define_schedule(
    pipeline: Pipeline[Any, Any], function: object, given: ScheduleOptions
) -> Schedule:
    """A function and its options as a schedule of a pipeline.

    Raises:
        DefinitionError: Something about them is wrong; see the codes of this module.
    """
    site = site_of(pipeline.name, function)
    is_async = _check_function(function, pipeline.input.annotation, site)
    inner = inspect.unwrap(typing.cast("Callable[..., Any]", function))
    name = given.name if given.name is not None else inner.__name__
    if not is_name(name):
        problem = f"name={name!r} is not a Python name of at most {MAX_NAME_LENGTH} characters"
        raise site.error("SCHEDULE_OPTION", problem)
    if name in pipeline.schedules:
        raise site.error(
            "SCHEDULE_NAME_TAKEN",
            f"the pipeline has a schedule named {name!r} already; its slots are stored by name: "
            "write another one as name=",
        )
    return Schedule(
        pipeline=pipeline.name,
        name=name,
        function=typing.cast("Callable[[datetime], Any]", function),
        is_async=is_async,
        cron=_checked_cron(given, site),
        missed=_checked_missed(given.missed, site),
        tenant=_checked_text("tenant", given.tenant, site),
        owner=_checked_text("owner", given.owner, site),
    )


def _checked_cron(given: ScheduleOptions, site: Site) -> Cron:
    try:
        return Cron(given.cron, given.timezone)
    except CronError as error:
        raise site.error("CRON_INVALID", str(error)) from None
    except ZoneError as error:
        raise site.error("TIMEZONE_UNKNOWN", f"timezone={error}") from None


def _checked_missed(missed: object, site: Site) -> Missed:
    for known in POLICIES:
        if missed == known:
            return known
    raise site.error("SCHEDULE_OPTION", f"missed={missed!r}; write 'skip', 'once' or 'all'")


def _checked_text(option: str, text: object, site: Site) -> str:
    if isinstance(text, str) and 1 <= len(text) <= LONGEST_TEXT and text.isprintable():
        return text
    raise site.error(
        "SCHEDULE_OPTION",
        f"{option}={str(text)[:40]!r}; write a printable text of 1 to {LONGEST_TEXT} characters",
    )


def _check_function(function: object, wanted: Annotation, site: Site) -> bool:
    """Refuse what cannot make the input; whether it is to be awaited."""
    shape = SHAPE.format(type_text(wanted))
    inner = inspect.unwrap(function) if inspect.isfunction(function) else None
    if inner is None or inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
        kind = "generator" if inner is not None else type(function).__name__
        raise site.error("SCHEDULE_FUNCTION", f"a {kind} makes no input; {shape}")
    parameters = list(inspect.signature(inner).parameters.values())
    if len(parameters) != 1 or parameters[0].kind not in {
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    }:
        raise site.error(
            "SCHEDULE_FUNCTION", f"it must take the slot's time and nothing else; {shape}"
        )
    hints = _hints_of(inner, shape, site)
    slot, returned = hints.get(parameters[0].name, MISSING), hints.get("return", MISSING)
    if slot is MISSING or fit(datetime, slot) is None:
        raise site.error(
            "SCHEDULE_FUNCTION",
            f"`{parameters[0].name}` gets the slot's time, a datetime; {shape}",
        )
    if returned is MISSING or fit(returned, wanted) is None:
        found = "nothing is annotated" if returned is MISSING else type_text(returned)
        raise site.error(
            "SCHEDULE_FUNCTION",
            f"it must return the pipeline's input, {type_text(wanted)}, not {found}; {shape}",
        )
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(inner)


def _hints_of(function: Callable[..., object], shape: str, site: Site) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except (AttributeError, NameError, SyntaxError, TypeError) as error:
        raise site.error(
            "SCHEDULE_FUNCTION",
            f"an annotation cannot be read at run time ({error}): import what it names outside "
            f"`if TYPE_CHECKING:`; {shape}",
        ) from error
