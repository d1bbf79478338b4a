"""What is written in `@pipeline.step(...)`, checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from headrace.model.duration import Duration, to_timedelta
from headrace.model.retry import Retry
from headrace.model.site import did_you_mean, site_of_caller

if TYPE_CHECKING:
    from headrace.errors import DefinitionError
    from headrace.model.definition import Declaration

MAX_STEP_SECONDS: Final = 1_800
MAX_DELAY: Final = timedelta(days=365)
MAX_NAME_LENGTH: Final = 100
MAX_PARALLEL: Final = 1_000
MIN_MEMORY, MAX_MEMORY = 32, 1_048_576

RunsIn: TypeAlias = Literal["thread", "process"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOptions:
    """The options of one step as they were given."""

    name: str | None = None
    was: str | Sequence[str] = ()
    after: Sequence[Callable[..., object]] = ()
    timeout: Duration | None = None
    retry: Retry | None = None
    parallel: int = 10
    runs_in: RunsIn | None = None
    memory: int | None = None
    resumable: bool = False
    delay: Duration | None = None
    undo: Callable[..., object] | None = None
    undo_retry: Retry | None = None


@dataclass(frozen=True, slots=True)
class CheckedOptions:
    """The options of one step, in range and of one form."""

    name: str
    was: tuple[str, ...]
    after: tuple[Callable[..., object], ...]
    timeout: timedelta | None
    retry: Retry | None
    parallel: int
    runs_in: RunsIn | None
    memory: int | None
    resumable: bool
    delay: timedelta | None
    undo: Callable[..., object] | None
    undo_retry: Retry | None


def options_of(functions: tuple[object, ...], options: dict[str, Any], owner: str) -> StepOptions:
    """What was written in the decorator of a step of the pipeline named `owner`.

    Raises:
        DefinitionError: STEP_OPTION, for positional options and unknown ones.
    """
    known = StepOptions.__slots__
    unknown = [option for option in options if option not in known]
    if not (unknown or functions):
        return StepOptions(**options)
    site = site_of_caller(f"{owner}.step()")
    if unknown:
        raise site.error(
            "STEP_OPTION",
            f"`{unknown[0]}` is no option of a step; there are {', '.join(known)}"
            f"{did_you_mean(unknown[0], known)}",
        )
    if len(functions) > 1 or options or not (callable(functions[0]) or _wraps(functions[0])):
        raise site.error(
            "STEP_OPTION", f"options are keywords: {', '.join(f'{option}=' for option in known)}"
        )
    return StepOptions()


def _wraps(given: object) -> bool:
    return isinstance(given, staticmethod | classmethod)


def is_name(text: object) -> bool:
    """Whether a text can be the name of a step: a Python name of at most 100 characters."""
    return isinstance(text, str) and text.isidentifier() and len(text) <= MAX_NAME_LENGTH


def check_options(options: StepOptions, declaration: Declaration) -> CheckedOptions:
    """The options, if they are in range and go together.

    Raises:
        DefinitionError: STEP_OPTION or RUNS_IN_ASYNC.
    """
    was = (options.was,) if isinstance(options.was, str) else tuple(options.was)
    name = declaration.name if options.name is None else options.name
    if len({name, *was}) <= len(was):
        raise _refusal(f"was={options.was!r} repeats a name of this step", declaration)
    return CheckedOptions(
        name=_checked_name("name", name, declaration),
        was=tuple(_checked_name("was", old, declaration) for old in was),
        after=_checked_after(options.after, declaration),
        timeout=_checked_timeout(options.timeout, declaration),
        retry=_checked_retry("retry", options.retry, declaration),
        parallel=_checked_count("parallel", options.parallel, (1, MAX_PARALLEL), declaration),
        runs_in=_checked_runs_in(options.runs_in, declaration),
        memory=_checked_memory(options, declaration),
        resumable=_checked_resumable(options.resumable, declaration),
        delay=_checked_delay(options.delay, declaration),
        undo=options.undo,
        undo_retry=_checked_undo_retry(options, declaration),
    )


def _refusal(problem: str, declaration: Declaration) -> DefinitionError:
    return declaration.site.error("STEP_OPTION", problem)


def _checked_name(option: str, name: object, declaration: Declaration) -> str:
    if not is_name(name):
        raise _refusal(
            f"{option}={name!r} is not a Python name of at most {MAX_NAME_LENGTH} characters",
            declaration,
        )
    return str(name)


def _checked_after(
    after: Sequence[Callable[..., object]], declaration: Declaration
) -> tuple[Callable[..., object], ...]:
    if not isinstance(after, list | tuple):
        raise _refusal(f"after={after!r}; write a list of earlier steps", declaration)
    return tuple(after)


def _checked_timeout(timeout: Duration | None, declaration: Declaration) -> timedelta | None:
    if timeout is None:
        return None
    try:
        return to_timedelta(timeout, "timeout", least=0.001, most=MAX_STEP_SECONDS)
    except ValueError as error:
        raise _refusal(str(error), declaration) from None


def _checked_delay(delay: Duration | None, declaration: Declaration) -> timedelta | None:
    if delay is None:
        return None
    try:
        return to_timedelta(delay, "delay", least=0.001, most=MAX_DELAY.total_seconds())
    except ValueError as error:
        raise _refusal(str(error), declaration) from None


def _checked_retry(option: str, retry: Retry | None, declaration: Declaration) -> Retry | None:
    if retry is not None and not isinstance(retry, Retry):
        raise _refusal(f"{option}={retry!r}; write Retry(attempts=...)", declaration)
    return retry


def _checked_undo_retry(options: StepOptions, declaration: Declaration) -> Retry | None:
    if options.undo_retry is not None and options.undo is None:
        raise _refusal("undo_retry= is of the function that undo= names: add it", declaration)
    return _checked_retry("undo_retry", options.undo_retry, declaration)


def _checked_count(
    option: str, count: object, bounds: tuple[int, int], declaration: Declaration
) -> int:
    if type(count) is not int or not bounds[0] <= count <= bounds[1]:
        raise _refusal(
            f"{option}={count!r}; write a whole number from {bounds[0]:,} to {bounds[1]:,}",
            declaration,
        )
    return count


def _checked_runs_in(runs_in: object, declaration: Declaration) -> RunsIn | None:
    if runs_in not in {None, "thread", "process"}:
        raise _refusal(f"runs_in={runs_in!r}; write 'thread' or 'process'", declaration)
    if declaration.is_async and runs_in is not None:
        raise declaration.site.error(
            "RUNS_IN_ASYNC",
            f"runs_in={runs_in!r} on an async function; threads and processes run plain "
            "functions: write `def`, or leave runs_in out",
        )
    if runs_in == "process" and "<locals>" in declaration.function.__qualname__:
        raise _refusal(
            "a process finds the function by its module and name; define it outside of "
            "other functions",
            declaration,
        )
    if declaration.is_async:
        return None
    return "process" if runs_in == "process" else "thread"


def _checked_memory(options: StepOptions, declaration: Declaration) -> int | None:
    if options.memory is None:
        return None
    if options.runs_in != "process":
        raise _refusal("memory= limits a process: add runs_in='process'", declaration)
    return _checked_count("memory", options.memory, (MIN_MEMORY, MAX_MEMORY), declaration)


def _checked_resumable(resumable: object, declaration: Declaration) -> bool:
    if not isinstance(resumable, bool):
        raise _refusal(f"resumable={resumable!r}; write True or False", declaration)
    return resumable
