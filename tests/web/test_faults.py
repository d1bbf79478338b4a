"""Each fault that the API and reviews are built for is tried by a test; its docstring names it.

`grep -rn 'A7[:,]' tests` finds the tests of one.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]
FAULTS = {
    "A1": "bodies that are too large, without length, of false length, or slow",
    "A2": "JSON that is too deep or too wide",
    "A3": "JSON with two readings, or none",
    "A4": "characters that no text should have, in every place for text",
    "A5": "unknown pipelines and members, and members that the service sets itself",
    "A6": "SQL, HTML, templates, formulas and terminal codes as text",
    "A7": "idempotency keys: at once, again, with another body, of others, cut off",
    "A8": "pages of any size, forged places, hostile filters",
    "A9": "floods of one tenant, and of guesses",
    "A10": "clients that leave, send ahead, or do nothing",
    "A12": "odd paths, methods and content types",
    "J1": "tokens without a signature",
    "J2": "tokens signed with the public key as a secret",
    "J3": "tokens outside of their time, or without an end",
    "J5": "tokens that name, bring or point to keys",
    "J6": "keys that are rotated, withdrawn, or out of reach",
    "J7": "everything of somebody else's, by every route",
    "J8": "every route without its scope, and identities that are only claimed",
    "J9": "tokens in addresses, and of any size",
    "J10": "statements that forget the tenant",
    "L1": "answers that are no JSON, or no answer: wrong types, other values, prose, cut off",
    "L2": "a model that refuses",
    "L3": "a model server that is busy, overloaded, or whose account is spent",
    "L5": "an error or a reset in the middle of an answer",
    "L6": "documents that command the model, and answers that claim who speaks",
    "L7": "scripts, terminal codes, secrets and 10 MB in an answer",
    "L8": "a worker that dies between a paid answer and its checkpoint",
    "L9": "a wrong key, a forbidden model, a model that is not there",
    "O1": "forged lines, and secrets, in everything that is logged",
    "O2": "labels that strangers choose",
    "O3": "health and readiness while the database is away",
}


def docstrings() -> Iterator[str]:
    for path in TESTS.rglob("test_*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            is_test = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            if is_test and node.name.lower().startswith("test"):
                yield ast.get_docstring(node) or ""


def test_each_is_tried():
    named: set[str] = set()
    for text in docstrings():
        begin = re.match(r"(?:[A-Z]\d+, )*[A-Z]\d+(?=:)", text)
        named.update(begin.group().split(", ") if begin else ())
    assert sorted(FAULTS.keys() - named) == []
