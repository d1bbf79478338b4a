"""Outputs as they are stored, and the items of a fan-out."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from headrace.model.items import split_list

if TYPE_CHECKING:
    from collections import OrderedDict

NULL: Final = "null"


@dataclass(slots=True)
class Artifact:
    """An output that lies outside the database; `text` is the stored reference."""

    text: str


Output = str | Artifact


@dataclass(slots=True)
class Fan:
    """A fan-out whose items are stored.

    Attributes:
        values: Of all items, by key.
        waiting: The keys of those that are to start, in their order; found and removed at once.
        outputs: Of those that succeeded, or were skipped, once it is committed.
        running: How many run.
        left: How many have no outcome, committed or not.
        failed: How many failed for good, committed or not.
        errors: Of those that failed for good, once it is committed; as `Failure.as_item` writes it.
    """

    values: dict[str, str]
    waiting: OrderedDict[str, None]
    outputs: dict[str, Output]
    running: int = 0
    left: int = 0
    failed: int = 0
    errors: dict[str, str] = field(default_factory=dict)

    def has(self, item: str) -> bool:
        """Whether an outcome of the item is committed."""
        return item in self.outputs or item in self.errors


def as_output(output: str | None, artifact: str | None) -> Output:
    """What a stored row holds."""
    if artifact is not None:
        return Artifact(artifact)
    return NULL if output is None else output


def write_plan(items: list[tuple[str, str]]) -> str:
    """A fan-out's keys and values as they are stored."""
    return "[" + ",".join(f"[{json.dumps(key)},{value}]" for key, value in items) + "]"


def read_plan(text: str) -> list[tuple[str, str]]:
    """The inverse of `write_plan`; values are the very texts that were stored."""
    pairs = (split_list(pair) for pair in split_list(text))
    return [(json.loads(key), value) for key, value in pairs]
