"""Fails when a function, a file or a parameter list is larger than this project allows.

Code lines are lines that hold code: docstrings, comments and blank lines are free.
A larger one needs an entry in EXEMPT with its reason.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FUNCTION_LINES: Final = 50
FILE_LINES: Final = 300
POSITIONAL_ARGUMENTS: Final = 5
FOLDERS: Final = ("src", "scripts", "tests", "bench")

# "path" for a file, "path::function" for a function: the reason.
EXEMPT: Final[Mapping[str, str]] = {}

Function = ast.FunctionDef | ast.AsyncFunctionDef
NOT_CODE: Final = frozenset(
    {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENCODING,
        tokenize.ENDMARKER,
    }
)


def code_lines(source: str, tree: ast.Module) -> set[int]:
    """Numbers of the lines that hold code."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in NOT_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(tree):
        if isinstance(node, Function | ast.ClassDef | ast.Module) and ast.get_docstring(node):
            docstring = node.body[0]
            lines.difference_update(range(docstring.lineno, _last_line(docstring) + 1))
    return lines


def problems_of(path: Path) -> Iterator[str]:
    """One line for each thing in `path` that is too large and not exempt."""
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    lines = code_lines(source, tree)
    if len(lines) > FILE_LINES and str(path) not in EXEMPT:
        yield f"{path}:1: {len(lines)} code lines in the file (at most {FILE_LINES})"
    for node in ast.walk(tree):
        if isinstance(node, Function) and f"{path}::{node.name}" not in EXEMPT:
            yield from _problems_of_function(path, node, lines)


def _problems_of_function(path: Path, node: Function, lines: set[int]) -> Iterator[str]:
    where = f"{path}:{node.lineno}: {node.name}()"
    size = len(lines.intersection(range(node.lineno, _last_line(node) + 1)))
    if size > FUNCTION_LINES:
        yield f"{where}: {size} code lines (at most {FUNCTION_LINES})"
    names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
    count = len(names) - (names[:1] in (["self"], ["cls"]))
    fixture = path.parts[0] == "tests"  # a test asks for its fixtures by parameter, by name
    if count > POSITIONAL_ARGUMENTS and not fixture:
        yield f"{where}: {count} positional arguments (at most {POSITIONAL_ARGUMENTS})"


def _last_line(node: ast.stmt) -> int:
    return node.end_lineno or node.lineno


def main() -> int:
    """Print each problem; 1 if there was one."""
    paths = [path for folder in FOLDERS for path in sorted(Path(folder).rglob("*.py"))]
    problems = [problem for path in paths for problem in problems_of(path)]
    unused = [entry for entry in EXEMPT if not Path(entry.split("::")[0]).exists()]
    problems += [f"{entry}: exempt in scripts/check_sizes.py, but gone" for entry in unused]
    print("\n".join(problems) or f"{len(paths)} files within the limits")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
