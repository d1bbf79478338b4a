"""The files that the demo reads: this project's own, and a broken one."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import headrace
from headrace.demo.pipeline import Document
from headrace.demo.texts import split_sections

MOST_TEXTS: Final = 20
MOST_SOURCES: Final = 20
LARGEST_BYTES: Final = 200_000
BROKEN_NAME: Final = "broken.txt"
BROKEN: Final = b"This file says that it is text, and then \xff\xfe it is not.\n"


def project_folder() -> Path:
    """The clone that this code lies in; the folder of the installed package where there is none."""
    package = Path(headrace.__file__).parent
    clone = package.parent.parent
    return clone if (clone / "pyproject.toml").exists() else package


def find_documents(folder: Path) -> list[Document]:
    """README and docs first, then the source; at most 40 files, by name."""
    texts = sorted([*folder.glob("*.md"), *(folder / "docs").rglob("*.md")])
    sources = sorted((folder / "src" if (folder / "src").exists() else folder).rglob("*.py"))
    chosen = [*_usable(texts)[:MOST_TEXTS], *_spread(_usable(sources), MOST_SOURCES)]
    return [Document(str(path.relative_to(folder)), str(path)) for path in chosen]


def write_broken(folder: Path) -> Document:
    """A file that no step can read."""
    path = folder / BROKEN_NAME
    path.write_bytes(BROKEN)
    return Document(BROKEN_NAME, str(path))


def count_sections(files: list[Document]) -> int:
    """How many sections the files have; one that is broken has none."""
    return sum(map(_count, files))


def _count(file: Document) -> int:
    try:
        text = Path(file.path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return 0
    return len(split_sections(text, python=file.is_python))


def _usable(paths: list[Path]) -> list[Path]:
    return [path for path in paths if 0 < path.stat().st_size <= LARGEST_BYTES]


def _spread(paths: list[Path], most: int) -> list[Path]:
    """`most` of the paths, from all of them evenly."""
    if len(paths) <= most:
        return paths
    return [paths[number * len(paths) // most] for number in range(most)]
