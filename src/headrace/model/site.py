"""Where something is defined, and the errors about it."""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Site:
    """The thing that is being defined and where it is: how each error about it begins."""

    where: str

    def error(self, code: str, problem: str) -> DefinitionError:
        """A `DefinitionError` about this thing."""
        return DefinitionError(self.where, problem, code)


def site_of(owner: str, thing: object) -> Site:
    """Where a function is defined, or the decorator of what is none.

    Args:
        owner: Name of the pipeline.
        thing: What was given to the decorator.
    """
    inner = inspect.unwrap(thing) if callable(thing) else thing
    inner = getattr(inner, "__func__", inner)
    what = f"{owner}.{getattr(inner, '__name__', None) or type(inner).__name__}()"
    code = getattr(inner, "__code__", None)
    if code is None:
        return site_of_caller(what)
    return Site(f"{what} at {_shown_path(code.co_filename)}:{code.co_firstlineno}")


def site_of_caller(what: str) -> Site:
    """Where the code is that is being run now, outside of this package.

    Args:
        what: What is defined there, as `Pipeline('consensus')`.
    """
    frame = sys._getframe(1)  # noqa: SLF001 - inspect.stack() reads source files and takes 100 ms
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith(
        "headrace.model."
    ):
        frame = frame.f_back
    return Site(f"{what} at {_shown_path(frame.f_code.co_filename)}:{frame.f_lineno}")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of an error's text: the closest known name, or nothing."""
    close = get_close_matches(name, list(known), n=1, cutoff=0.7)
    return f"; did you mean `{close[0]}`?" if close else ""


def _shown_path(filename: str) -> str:
    """A path as people know it: relative to the working directory where it lies below it."""
    path = Path(filename)
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
