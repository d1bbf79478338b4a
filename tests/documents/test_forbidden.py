"""F7: nothing in the code base can run what a file or a stored value says."""

import re
from pathlib import Path

import pytest

import headrace

PACKAGE = Path(headrace.__file__).parent
FORBIDDEN = re.compile(
    r"""
    \b(?:import|from)\s+(?:pickle|cPickle|_pickle|dill|cloudpickle|joblib|shelve|marshal|yaml)\b
    | \b(?:pickle|dill|cloudpickle|joblib|shelve|marshal)\.(?:loads?|open|Unpickler)\b
    | \byaml\.(?:load|load_all|full_load|unsafe_load)\b
    | \ballow_pickle\s*=\s*True\b
    | (?<![\w.])(?:eval|exec|compile|__import__)\s*\(
    | \btorch\.load\b
    | \b(?:shell\s*=\s*True|os\.system|os\.popen)\b
    """,
    re.VERBOSE,
)


def test_nothing_that_runs_stored_objects_is_called():
    found = [
        f"{path.relative_to(PACKAGE)}:{number}: {line.strip()}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if FORBIDDEN.search(line)
    ]
    assert found == []


def test_there_is_code_to_look_at():
    assert (PACKAGE / "pipelines" / "documents" / "parsing" / "parser.py").is_file()


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from joblib import load",
        "value = pickle.loads(data)",
        "eval(text)",
        "x = yaml.load(text)",
        "numpy.load(path, allow_pickle=True)",
    ],
)
def test_such_a_line_would_be_seen(line: str):
    assert FORBIDDEN.search(line)


@pytest.mark.parametrize("line", ["re.compile(x)", "numpy.load(path, allow_pickle=False)"])
def test_others_are_not(line: str):
    assert not FORBIDDEN.search(line)
