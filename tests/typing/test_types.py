"""Users' type checkers accept right uses of the public names, and find each wrong one."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORRECT, WRONG = Path("tests/typing/correct.py"), Path("tests/typing/wrong.py")
Errors = dict[Path, dict[int, str]]

pytestmark = pytest.mark.timeout(300)  # a first run of mypy reads all that is imported


def run(*command: str) -> str:
    """What a checker printed; the exit code says only that it found something."""
    done = subprocess.run(
        [sys.executable, "-m", *command, str(CORRECT), str(WRONG)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    return done.stdout


def mypy() -> Errors:
    found: Errors = {CORRECT: {}, WRONG: {}}
    # What is wrong in the sources themselves is found by `make check`.
    for line in run("mypy", "--strict", "--follow-imports=silent").splitlines():
        match = re.match(r"(.*?):(\d+): error: (.*)", line)
        if match is not None:
            found[Path(match[1])][int(match[2])] = match[3]
    return found


def pyright() -> Errors:
    found: Errors = {CORRECT: {}, WRONG: {}}
    output = run("basedpyright", "--outputjson", f"--pythonpath={sys.executable}")
    for diagnostic in json.loads(output)["generalDiagnostics"]:
        if diagnostic["severity"] == "error":
            path = Path(diagnostic["file"]).relative_to(ROOT)
            found[path][diagnostic["range"]["start"]["line"] + 1] = diagnostic["message"]
    return found


@pytest.fixture(scope="module", params=[mypy, pyright], ids=["mypy", "pyright"])
def errors(request: pytest.FixtureRequest) -> Errors:
    result: Errors = request.param()
    return result


class TestTypes:
    def test_right_uses_have_no_errors(self, errors: Errors):
        assert errors[CORRECT] == {}

    def test_each_wrong_use_is_an_error_and_nothing_else_is(self, errors: Errors):
        lines = (ROOT / WRONG).read_text().splitlines()
        marked = {number for number, line in enumerate(lines, 1) if line.endswith("# error")}
        missed = [
            f"{number}: {lines[number - 1]}" for number in sorted(marked - set(errors[WRONG]))
        ]
        unexpected = {
            number: text for number, text in errors[WRONG].items() if number not in marked
        }
        assert missed == []
        assert unexpected == {}
