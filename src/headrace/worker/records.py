"""The functions that `once` runs: what can be read of them before they run."""

from __future__ import annotations

import inspect
import typing
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from headrace.errors import DefinitionError
from headrace.model.codec import codec_for
from headrace.model.context import Transaction

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.model.codec import Codec


@lru_cache(maxsize=1_000)
def read_function(fn: Callable[..., Any]) -> tuple[Codec[Any], bool]:
    """A function's return type, as a codec, and whether it takes a transaction first.

    Raises:
        DefinitionError: Its return annotation is missing or cannot be read.
    """
    try:
        hints = typing.get_type_hints(fn)
    except (NameError, TypeError) as error:
        raise _unusable(fn, f"its annotations cannot be read: {error}") from error
    if "return" not in hints:
        raise _unusable(fn, "it has no return annotation: write `-> None` if nothing is kept")
    first = next(iter(inspect.signature(fn).parameters), "")
    return codec_for(hints["return"]), hints.get(first) is Transaction


def refuse_transaction(step: str, name: str) -> DefinitionError:
    """The error of a plain function that asks for a transaction."""
    return DefinitionError(
        f"step {step}",
        f"once({name!r}, ...) got a function that takes a Transaction; "
        "transactions need an async step",
        "TRANSACTION_SYNC",
    )


def _unusable(fn: Callable[..., Any], problem: str) -> DefinitionError:
    name = getattr(fn, "__qualname__", repr(fn))
    return DefinitionError(f"once(..., {name})", problem, "RETURN_MISSING")
