"""Where the two servers differ, and who is right.

pstest is Google's own, but it is a simple one: it accepts much of what the real service refuses,
and has nothing of what came after 2019. What Google's documentation says decides then, and the test
server of headrace does that. Each test states both, so that a change of either is noticed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tests.pubsub.conformance.site import Site


@dataclass(frozen=True)
class Difference:
    """What is seen with each server, and why it is not the same."""

    headrace: object
    pstest: object
    reason: str


DIFFERENCES: Final = {
    "a topic's name is malformed": Difference(
        "INVALID_ARGUMENT", "OK", "pstest checks no names; the documentation has their grammar"
    ),
    "a project's name begins with another's": Difference(
        0, 1, "pstest compares prefixes; a project has its own topics only"
    ),
    "an ack deadline is left out": Difference(
        "OK", "UNKNOWN", "documented: the default is 10 s; pstest checks the 0"
    ),
    "an ack deadline is out of range": Difference(
        "INVALID_ARGUMENT", "UNKNOWN", "the documented code of a request that is wrong"
    ),
    "a retention of 31 days": Difference(
        "OK", "INVALID_ARGUMENT", "documented since 2022; pstest knows 7 days"
    ),
    "an expiration policy is left out": Difference(
        31, 0, "documented: the default is 31 days; pstest fills nothing in"
    ),
    "a dead-letter policy is set later": Difference(
        "OK", "INVALID_ARGUMENT", "pstest has no dead-letter policy"
    ),
    "a retry policy is set later": Difference(
        "OK", "INVALID_ARGUMENT", "pstest has no retry policy"
    ),
    "a request without messages": Difference(
        "INVALID_ARGUMENT", "OK", "documented: 1 to 1,000 messages; pstest does not count"
    ),
    "a message without data and attributes": Difference(
        "INVALID_ARGUMENT", "OK", "documented: a message has one of the two"
    ),
    "a request with 1,001 messages": Difference(
        "INVALID_ARGUMENT", "OK", "documented: 1 to 1,000 messages; pstest does not count"
    ),
    "a request with more than 10 MB": Difference(
        "INVALID_ARGUMENT", "OK", "documented: 10 MB; pstest does not measure"
    ),
    "an attribute whose key begins with goog": Difference(
        "INVALID_ARGUMENT", "OK", "documented: such keys are Google's"
    ),
    "a pull of 0 messages": Difference(
        "INVALID_ARGUMENT", "OK", "documented: a positive number; pstest takes 1,000"
    ),
    "an acknowledgement without ids": Difference(
        "INVALID_ARGUMENT", "OK", "documented: not empty; pstest does nothing"
    ),
    "a deadline is moved of an unknown message": Difference(
        "OK", "INTERNAL", "pstest panics; the real service passes over what it does not know"
    ),
    "a stream without an ack deadline": Difference(
        "INVALID_ARGUMENT", "open", "documented: required, 10 s or more; pstest takes its own"
    ),
    "the subscription of a stream is deleted": Difference(
        "NOT_FOUND", "open", "the real service ends the stream; pstest lets it hang"
    ),
    "a filter": Difference(
        [b"job"], [b"doorbell", b"job"], "pstest has no filters and delivers everything"
    ),
    "a negated filter": Difference(
        [b"doorbell"], [b"doorbell", b"job"], "pstest has no filters and delivers everything"
    ),
    "a filter that is none": Difference("INVALID_ARGUMENT", "OK", "pstest has no filters"),
    "messages of an ordering key": Difference(
        "in order", "in any order", "pstest keeps messages in a map, and ignores ordering keys"
    ),
    "a message of an ordering key comes again": Difference(
        [b"1", b"2", b"3"], [b"2"], "documented: all after it come again; pstest ignores the key"
    ),
    "a retry policy": Difference(
        "later", "at once", "pstest ignores it and delivers again within 10 ms"
    ),
    "delivery attempts": Difference(
        [1, 2, 3], [0, 0, 0], "documented: counted with a dead-letter policy; pstest counts none"
    ),
    "a message fails five times": Difference(
        "forwarded", "delivered again", "pstest has no dead-letter topics"
    ),
    "exactly once: an old id is used": Difference(
        "INVALID_ARGUMENT", "OK", "pstest has one ack id for all deliveries of a message"
    ),
    "ack ids of two deliveries": Difference(
        "differ", "are the same", "documented: each delivery has one; pstest uses the message id"
    ),
    "a push endpoint": Difference("posted", "nothing", "pstest stores it, and pushes nothing"),
    "a pull where messages are pushed": Difference(
        "FAILED_PRECONDITION", "OK", "pstest does not tell the two apart"
    ),
}


def expected(site: Site, what: str) -> object:
    """What this server does in a case where the two differ."""
    difference = DIFFERENCES[what]
    return difference.headrace if site.server == "headrace" else difference.pstest
