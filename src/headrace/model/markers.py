"""Defaults that say how a step's parameter is filled: `Each`, `Signal` and `Use`.

To a type checker both return the value that the parameter will get; at run time they return a
marker, which only the engine understands. Using a marker raises `MarkerUsedError`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias, TypeVar, overload

from headrace.errors import MarkerUsedError
from headrace.model.duration import Duration

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

T = TypeVar("T")
SIGNAL_TIMEOUT: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class EachSpec:
    """What an `Each` says: a copy of its sequence, or the step whose output is the sequence."""

    source: object
    key: Callable[[Any], str] | None
    at_least: object = None


@dataclass(frozen=True, slots=True)
class UseSpec:
    """What a `Use` says: the function that opens the client."""

    factory: Callable[[], object]


@dataclass(frozen=True, slots=True)
class SignalSpec:
    """What a `Signal` says: how long a step waits for it."""

    timeout: Duration


Spec: TypeAlias = EachSpec | SignalSpec | UseSpec


class Marker:
    """Stands for a value that the engine fills in; every use of it as that value raises."""

    # One unlikely name: an attribute of the value that it stands for must not be found here.
    __slots__ = ("_headrace_spec",)

    def __init__(self, spec: Spec) -> None:
        self._headrace_spec = spec

    def __repr__(self) -> str:
        return f"{type(self._headrace_spec).__name__.removesuffix('Spec')}(...)"

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):  # Python itself asks for these, and goes on without
            raise AttributeError(name)
        self._refuse()

    def _refuse(self, *_args: object, **_kwargs: object) -> NoReturn:
        raise MarkerUsedError(repr(self))

    __call__ = __iter__ = __len__ = __bool__ = __contains__ = __getitem__ = _refuse
    __str__ = __format__ = __int__ = __float__ = __index__ = _refuse
    __add__ = __radd__ = __sub__ = __mul__ = __truediv__ = __mod__ = _refuse
    __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __enter__ = __exit__ = __aenter__ = __aexit__ = __await__ = __aiter__ = _refuse


@overload
def Each(
    source: list[T] | tuple[T, ...],
    *,
    key: Callable[[T], str] | None = None,
    at_least: int | None = None,
) -> T: ...


@overload
def Each(
    source: Callable[..., Awaitable[list[T] | tuple[T, ...]]],
    *,
    key: Callable[[T], str] | None = None,
    at_least: int | None = None,
) -> T: ...


@overload
def Each(
    source: Callable[..., list[T] | tuple[T, ...]],
    *,
    key: Callable[[T], str] | None = None,
    at_least: int | None = None,
) -> T: ...


def Each(  # noqa: N802 - stands for a value
    source: object, *, key: Callable[[Any], str] | None = None, at_least: int | None = None
) -> Any:
    """Run the step once for each element; the parameter is the element.

    Later steps that ask for the step get the list of its outputs, in the order of the elements.
    Items run in parallel, each with its own tries and its own stored output. No element: nothing
    runs, and the list is empty.

    Args:
        source: A list or tuple, which is copied here; or an earlier step that returns one.
        key: Gives each element the name under which its output is stored: a text of 1 to 200
            characters, unique in the list. If left out, the elements of a fixed sequence are
            named by their content, and those of a step's list by their index.
        at_least: Items may fail for good, each after its own tries, while this many have an
            output: 0 to 10,000, and not more than a fixed sequence has. Later steps get a list of
            `ItemResult`, with the output or the error of each. As soon as fewer can succeed, the
            job fails. If left out, all have to succeed.

    Returns:
        The element, to a type checker; a marker at run time.
    """
    given = tuple(source) if isinstance(source, list) else source
    return Marker(EachSpec(given, key, at_least))


@overload
def Use(factory: Callable[[], AbstractAsyncContextManager[T, bool | None]]) -> T: ...


@overload
def Use(factory: Callable[[], AbstractContextManager[T, bool | None]]) -> T: ...


@overload
def Use(factory: Callable[[], Awaitable[T]]) -> T: ...


@overload
def Use(factory: Callable[[], T]) -> T: ...


def Use(factory: Callable[[], object]) -> Any:  # noqa: N802 - stands for a value
    """Give the step a client that is opened once a worker, when it is first needed.

    Steps that name the same factory share one client. It is closed when the worker ends: by the
    exit of its context manager, else by its `aclose()` or `close()` where it has one.

    Args:
        factory: A plain or async function without arguments that returns the client, or returns a
            context manager, plain or async, that yields it.

    Returns:
        The client, to a type checker; a marker at run time.
    """
    return Marker(UseSpec(factory))


def Signal(*, timeout: Duration = SIGNAL_TIMEOUT) -> Any:  # noqa: ANN401, N802 - stands for a value
    """Wait for a value that is sent to the job under the parameter's name.

    The step is not started before the value is there, and holds no slot while it waits. It comes
    from `handle.send`, `ctx.send`, a signed link or the API; it is checked against the annotation
    and stored. It may come before the step asks for it, and the first one stands.

    Where none comes in time, the parameter is None if its annotation is `T | None`; else the job
    fails.

    Args:
        timeout: How long the step waits, from the moment its other inputs are there: seconds or a
            timedelta, up to 365 days; 7 days if left out.

    Returns:
        The value, to a type checker; a marker at run time.
    """
    return Marker(SignalSpec(timeout))


def spec_of(default: object) -> Spec | None:
    """What a parameter's default says, if it is a marker."""
    return default._headrace_spec if isinstance(default, Marker) else None  # noqa: SLF001 - ours
