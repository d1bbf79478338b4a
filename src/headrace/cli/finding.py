"""What a look of `headrace doctor` found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one look: `ok`, `warn` (worth knowing) or `fail` (does not work so)."""

    level: str
    check: str
    text: str

    def __str__(self) -> str:
        return f"{self.level:<5} {self.check:<12} {self.text}"
