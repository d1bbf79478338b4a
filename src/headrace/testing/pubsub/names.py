"""Names of projects, topics and subscriptions."""

from __future__ import annotations

import re
from typing import Final, Literal, TypeAlias

from headrace.testing.pubsub.refusal import invalid

Kind: TypeAlias = Literal["topics", "subscriptions"]

DELETED_TOPIC: Final = "_deleted-topic_"
_ID: Final = r"(?!goog)[A-Za-z][A-Za-z0-9\-._~+%]{2,254}"
_PATTERNS: Final = {
    kind: re.compile(rf"projects/[^/]+/{kind}/{_ID}") for kind in ("topics", "subscriptions")
}


def check(name: str, kind: Kind) -> None:
    """Let a full name pass.

    Raises:
        RefusedError: Google would not allow it.
    """
    if not _PATTERNS[kind].fullmatch(name):
        raise invalid(f"Invalid resource name given (name={name}): projects/PROJECT/{kind}/ID")


def short(name: str) -> str:
    """The last part of a full name."""
    return name.rpartition("/")[2]


def project_of(name: str) -> str:
    """The id of the project that a full name is in; empty when it is in none."""
    parts = name.split("/")
    return parts[1] if parts[0] == "projects" and len(parts) > 1 else ""
