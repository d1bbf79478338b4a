"""SQL statements by name: they lie in `.sql` files, where editors and reviewers read them as SQL.

One file for a family of tables, each statement with a header:

    -- name: finish
    -- Ends running jobs in one round trip.
    -- $1 ids uuid[], $2 states text[]
    update headrace.jobs ...

`Statements(folder)["jobs.finish"]` is the text of `finish` in `jobs.sql`, without its comment.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADER: Final = re.compile(r"^-- name:[ \t]*(\S*)[ \t]*$", re.MULTILINE)
NAME: Final = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Statement:
    """One named statement: what is sent, and what its comment says about it."""

    name: str
    text: str
    doc: str


class Statements:
    """All statements of a folder of `.sql` files, read at the first look-up."""

    def __init__(self, folder: Path) -> None:
        """Nothing is read yet.

        Args:
            folder: Where the `.sql` files lie.
        """
        self._folder = folder

    def __getitem__(self, name: str) -> str:
        """The text of the statement `name`, as `jobs.finish`.

        Raises:
            KeyError: There is no such statement.
            ValueError: A file of the folder is not laid out as it should be.
        """
        try:
            return self._by_name[name].text
        except KeyError:
            raise KeyError(f"no statement {name!r} in {self._folder}") from None

    def __iter__(self) -> Iterator[Statement]:
        """All statements, by file and in the order of the file."""
        return iter(self._by_name.values())

    @cached_property
    def _by_name(self) -> dict[str, Statement]:
        found: dict[str, Statement] = {}
        for path in sorted(self._folder.glob("*.sql")):
            for statement in _read(path):
                if statement.name in found:
                    raise ValueError(f"{path}: two statements named {statement.name!r}")
                found[statement.name] = statement
        return found


def _read(path: Path) -> Iterator[Statement]:
    head, *parts = HEADER.split(path.read_text(encoding="utf-8"))
    if any(line.strip() and not line.startswith("--") for line in head.splitlines()):
        raise ValueError(f"{path}: SQL before the first `-- name:` header")
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        if not NAME.fullmatch(name):
            raise ValueError(f"{path}: {name!r} is not a name for a statement")
        lines = body.strip().splitlines()
        start = next((i for i, line in enumerate(lines) if not line.startswith("--")), len(lines))
        text = "\n".join(lines[start:]).strip().rstrip(";")
        if not text:
            raise ValueError(f"{path}: statement {name!r} is empty")
        doc = "\n".join(line.removeprefix("--").strip() for line in lines[:start])
        yield Statement(f"{path.stem}.{name}", text, doc)
