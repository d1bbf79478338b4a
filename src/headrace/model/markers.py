"""Defaults that say how a step's parameter is filled: `Each` and `Use`.

To a type checker both return the value that the parameter will get; at run time they return a
marker, which only the engine understands. Using a marker raises `MarkerUsedError`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, overload

from headrace.errors import MarkerUsedError

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class EachSpec:
    """What an `Each` says: a copy of its sequence, or the step whose output is the sequence."""

    source: object
    key: Callable[[Any], str] | None


@dataclass(frozen=True, slots=True)
class UseSpec:
    """What a `Use` says: the function that opens the client."""

    factory: Callable[[], object]


class Marker:
    """Stands for a value that the engine fills in; every use of it as that value raises."""

    # One unlikely name: an attribute of the value that it stands for must not be found here.
    __slots__ = ("_headrace_spec",)

    def __init__(self, spec: EachSpec | UseSpec) -> None:
        self._headrace_spec = spec

    def __repr__(self) -> str:
        return "Each(...)" if isinstance(self._headrace_spec, EachSpec) else "Use(...)"

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
def Each(source: list[T] | tuple[T, ...], *, key: Callable[[T], str] | None = None) -> T: ...


@overload
def Each(
    source: Callable[..., Awaitable[list[T] | tuple[T, ...]]],
    *,
    key: Callable[[T], str] | None = None,
) -> T: ...


@overload
def Each(
    source: Callable[..., list[T] | tuple[T, ...]], *, key: Callable[[T], str] | None = None
) -> T: ...


def Each(source: object, *, key: Callable[[Any], str] | None = None) -> Any:  # noqa: N802 - stands for a value
    """Run the step once for each element; the parameter is the element.

    Later steps that ask for the step get the list of its outputs, in the order of the elements.
    Items run in parallel, each with its own tries and its own stored output. No element: nothing
    runs, and the list is empty.

    Args:
        source: A list or tuple, which is copied here; or an earlier step that returns one.
        key: Gives each element the name under which its output is stored: a text of 1 to 200
            characters, unique in the list. If left out, the elements of a fixed sequence are
            named by their content, and those of a step's list by their index.

    Returns:
        The element, to a type checker; a marker at run time.
    """
    return Marker(EachSpec(tuple(source) if isinstance(source, list) else source, key))


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


def spec_of(default: object) -> EachSpec | UseSpec | None:
    """What a parameter's default says, if it is a marker."""
    return default._headrace_spec if isinstance(default, Marker) else None  # noqa: SLF001 - ours
