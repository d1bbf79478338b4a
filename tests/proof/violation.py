"""What the checker reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Row: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant that does not hold, with the rows that show it."""

    invariant: str
    text: str
    rows: tuple[Row, ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        lines = [f"{self.invariant}: {self.text}"]
        lines += [
            "    " + ", ".join(f"{k}={v}" for k, v in row.items() if v is not None)
            for row in self.rows
        ]
        return "\n".join(lines)
