"""Each fault of model servers that reviews are built for is tried by a test, which names it.

`grep -rn 'L3[:,]' tests` finds the tests of one.
"""

import re

from tests.web.test_faults import docstrings

FAULTS = {
    "L1": "answers that are no JSON, or no answer: wrong types, other values, prose, cut off",
    "L2": "a model that refuses",
    "L3": "a server that is busy, overloaded, or whose account is spent",
    "L5": "an error or a reset in the middle of an answer",
    "L7": "scripts, terminal codes, secrets and 10 MB in an answer",
    "L8": "a worker that dies between a paid answer and its checkpoint",
    "L9": "a wrong key, a forbidden model, a model that is not there",
}


def test_each_is_tried():
    named: set[str] = set()
    for text in docstrings():
        begin = re.match(r"(?:[A-Z]\d+, )*[A-Z]\d+(?=:)", text)
        named.update(begin.group().split(", ") if begin else ())
    assert sorted(FAULTS.keys() - named) == []
