"""The files that paths mean: those that are named, and those that folders hold."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(frozen=True, slots=True)
class Found:
    """A file, or what cannot be one."""

    path: Path
    is_named: bool
    """False for what was found in a folder."""
    problem: str | None = None
    """Why it is not looked into."""
    is_ignored: bool = False
    """Whether nobody meant it: hidden files of folders."""


def gather(paths: Iterable[Path]) -> list[Found]:
    """Every file that the paths mean, once each, those of a folder in the order of their names.

    Folders are walked, but not through links to other folders. What is hidden is taken if it is
    named itself.
    """
    found: dict[Path, Found] = {}
    for path in paths:
        for one in _walk(path) if path.is_dir() else [_look(path, is_named=True)]:
            found.setdefault(Path(os.path.abspath(one.path)), one)  # noqa: PTH100 - links stay
    return list(found.values())


def _walk(folder: Path) -> Iterator[Found]:
    errors: list[OSError] = []
    for place, folders, files in os.walk(folder, onerror=errors.append):
        parent = Path(place)
        hidden = sorted(name for name in folders if name.startswith("."))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in hidden:
            yield Found(parent / name, is_named=False, problem="hidden folder", is_ignored=True)
        for name in sorted(files):
            if name.startswith("."):
                yield Found(parent / name, is_named=False, problem="hidden", is_ignored=True)
            else:
                yield _look(parent / name, is_named=False)
    for error in errors:
        yield Found(Path(error.filename), is_named=False, problem=_unreadable(error))


def _look(path: Path, *, is_named: bool) -> Found:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        what = "it is a link to nothing" if path.is_symlink() else "there is no such file or folder"
        return Found(path, is_named, what)
    except OSError as error:
        return Found(path, is_named, _unreadable(error))
    return Found(path, is_named, None if stat.S_ISREG(mode) else "it is no regular file")


def _unreadable(error: OSError) -> str:
    return f"cannot be read: {error.strerror}"
