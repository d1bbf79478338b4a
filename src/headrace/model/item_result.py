"""What became of one item of a fan-out whose items may fail: `Each(source, at_least=n)`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Generic, TypeVar

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class ItemError:
    """Why an item failed for good: its last failure.

    Attributes:
        code: As in the job's dead letter: the exception's class, or the `code` it declares.
        kind: The class of the failure: `transient`, `permanent`, `timeout`, `user`, `budget`,
            `unknown`, or what it waited for when it had waited too long.
        message: The exception's text, with what looks like a secret masked. It may name hosts and
            files: think before you pass it on to users.
    """

    code: str
    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class ItemResult(Generic[T_co]):
    """The outcome of one item, for the step behind a fan-out with `at_least`.

    Attributes:
        key: The item's key.
        output: What the step returned for it; None where it failed, or was skipped.
        error: Why it failed; None where it did not.
    """

    key: str
    output: T_co | None = None
    error: ItemError | None = None

    @property
    def ok(self) -> bool:
        """Whether the item has an output, or was skipped."""
        return self.error is None


def result_text(key: str, output: str, *, failed: bool) -> str:
    """An `ItemResult` as JSON.

    Args:
        key: The item's key.
        output: What is stored of it: its output, or its error.
        failed: Whether that is its error.
    """
    fields = f'null,"error":{output}' if failed else f'{output},"error":null'
    return f'{{"key":{json.dumps(key)},"output":{fields}}}'
