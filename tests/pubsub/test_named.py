"""Each fault of Pub/Sub that headrace is built for is tried by a test that bears its name.

`grep -rniE 'TestQ5\b|test_q5_' tests` finds those of one.
"""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
FAULTS = {
    "Q1": "a server that restarts and forgets everything",
    "Q2": "a server that is down",
    "Q3": "one message for two workers",
    "Q4": "a message that returns while its job runs",
    "Q5": "acknowledgements that are lost, or whose answer is",
    "Q6": "a message that may have been published, or not",
    "Q7": "a topic that takes nothing for long",
    "Q8": "streams and connections that are closed again and again",
    "Q9": "a stream that is open and says nothing",
    "Q10": "permission that is withdrawn, a subscription that is deleted",
    "Q11": "messages that can never be taken",
    "Q12": "a message from long ago",
    "Q14": "a burst",
    "Q15": "acknowledgements that are refused for good",
    "Q16": "messages of one key that come again, or out of order",
    "Q17": "a topic of what was given up that brings the same message twice",
}


def test_each_is_tried() -> None:
    named: set[str] = set()
    for path in TESTS.rglob("test_*.py"):
        text = path.read_text(encoding="utf-8")
        found = re.findall(r"class TestQ(\d+)\b|def test_q(\d+)_", text)
        named.update(f"Q{first or second}" for first, second in found)
    assert sorted(FAULTS.keys() - named) == []
