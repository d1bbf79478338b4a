"""Files for the documents work: the docstrings of Python's own library, a file for each module.

Running text of every length that is on each machine, as Markdown, HTML, DOCX and PDF in turn.
"""

import ast
import random
import sysconfig
import textwrap
from collections.abc import Callable, Iterator
from html import escape
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from tests.documents.files import docx, pdf

SHORTEST: Final = 2_000
"""Characters, a page; modules that say less are left out."""
PAGE: Final = 46
"""Lines."""
WIDTH: Final = 92

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


class File(NamedTuple):
    """A file of the corpus."""

    name: str
    data: bytes


class Part(NamedTuple):
    """A heading and the paragraphs under it."""

    heading: str
    paragraphs: list[str]


def write_corpus(folder: Path, count: int) -> list[Path]:
    """Write so many files, always the same ones on one Python; there are about 150.

    Returns:
        Their paths, in the order in which they are ingested.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kinds = list(WRITERS.items())
    paths = []
    for number, parts in enumerate(islice(_modules(), count)):
        suffix, write = kinds[number % len(kinds)]
        paths.append(folder / f"{number:03}-{parts[0].heading}{suffix}")
        paths[-1].write_bytes(write(parts))
    return paths


def _modules() -> Iterator[list[Part]]:
    """The parts of each module with enough of them, in an order that mixes short and long ones."""
    library = Path(sysconfig.get_path("stdlib"))
    packages = (path.parent for path in library.glob("*/__init__.py"))
    folders = [library, *(folder for folder in packages if "test" not in folder.name)]
    paths = sorted(path for folder in folders for path in folder.glob("*.py"))
    random.Random(1).shuffle(paths)  # noqa: S311 - the same order each time
    for path in paths:
        parts = list(_parts(path))
        if _length(parts) >= SHORTEST:
            yield parts


def _parts(path: Path) -> Iterator[Part]:
    """The module itself, and then each class and function of it that says what it is."""
    name = path.parent.name if path.stem == "__init__" else path.stem
    tree = ast.parse(path.read_bytes())
    yield Part(name, _paragraphs(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            paragraphs = _paragraphs(node)
            if paragraphs:
                yield Part(node.name, paragraphs)


def _paragraphs(node: Documented) -> list[str]:
    text = ast.get_docstring(node) or ""
    return [each for each in text.split("\n\n") if each.strip()]


def _length(parts: list[Part]) -> int:
    return sum(len(paragraph) for part in parts for paragraph in part.paragraphs)


# --- the kinds ------------------------------------------------------------------------------------


def _blocks(parts: list[Part]) -> Iterator[tuple[str, str]]:
    """Each heading and paragraph with its mark: `# `, `## ` or nothing."""
    for number, part in enumerate(parts):
        yield "## " if number else "# ", part.heading
        for paragraph in part.paragraphs:
            yield "", paragraph


def _markdown(parts: list[Part]) -> bytes:
    return "\n\n".join(mark + text for mark, text in _blocks(parts)).encode()


def _html(parts: list[Part]) -> bytes:
    tags = {"# ": "h1", "## ": "h2", "": "p"}
    body = "\n".join(
        f"<{tags[mark]}>{escape(text)}</{tags[mark]}>" for mark, text in _blocks(parts)
    )
    title = escape(parts[0].heading)
    return (
        f"<!DOCTYPE html><html><head><meta charset=utf-8><title>{title}</title></head>"
        f"<body><main>{body}</main></body></html>"
    ).encode()


def _docx(parts: list[Part]) -> bytes:
    return docx([mark + " ".join(text.split()) for mark, text in _blocks(parts)])


def _pdf(parts: list[Part]) -> bytes:
    lines: list[str] = []
    for mark, text in _blocks(parts):
        plain = text.encode("cp1252", "replace").decode("cp1252")
        lines += [mark + line for line in textwrap.wrap(plain, WIDTH)] + [""]
    return pdf(["\n".join(lines[at : at + PAGE]) for at in range(0, len(lines), PAGE)])


WRITERS: Final[dict[str, Callable[[list[Part]], bytes]]] = {
    ".md": _markdown,
    ".html": _html,
    ".docx": _docx,
    ".pdf": _pdf,
}
