"""What the worker's side raised in answer to a step process, as the step there sees it."""

from __future__ import annotations

import builtins
from datetime import timedelta
from typing import Any
from uuid import UUID

from headrace import errors
from headrace.errors import HeadraceError, Problem


class WorkerSideError(HeadraceError):
    """The worker could not do what a step in a process asked for.

    Attributes:
        kind: The type of what was raised there.
        text: What it said.
    """

    code = "worker_side"

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(kind, text)
        self.kind, self.text = kind, text

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


def write_error(error: BaseException) -> dict[str, Any]:
    """An exception as JSON."""
    described: dict[str, Any] = {"type": type(error).__name__, "text": str(error)}
    if getattr(errors, type(error).__name__, None) is type(error):
        described["args"] = [_write(argument) for argument in error.args]
    return described


def read_error(described: dict[str, Any]) -> Exception:
    """The same exception, if it is one of headrace or of Python; else a `WorkerSideError`."""
    name, text = described["type"], described["text"]
    kind = getattr(errors, name, None) if "args" in described else getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        arguments = map(_read, described.get("args", (text,)))
        try:
            return kind(*arguments)
        except TypeError:  # UnicodeError and the like want more
            pass
    return WorkerSideError(name, text)


def _write(argument: object) -> object:
    if isinstance(argument, Problem):
        return {"problem": list(argument)}
    if isinstance(argument, timedelta):
        return {"seconds": argument.total_seconds()}
    if isinstance(argument, UUID):
        return {"uuid": str(argument)}
    if isinstance(argument, list | tuple):
        return [_write(part) for part in argument]
    return argument if isinstance(argument, str | int | float | None) else str(argument)


def _read(written: Any) -> object:  # noqa: ANN401 - JSON
    if isinstance(written, list):
        return [_read(part) for part in written]
    if not isinstance(written, dict):
        return written
    ((kind, value),) = written.items()
    if kind == "problem":
        return Problem(*value)
    return timedelta(seconds=value) if kind == "seconds" else UUID(value)
