"""Names that follow from content: the same document, parse and chunk always bear the same."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import Final
from uuid import UUID, uuid5

from headrace import UserError

NAMESPACE: Final = UUID("6c8a1e6e-1f0b-4aa8-9f0a-1a7c2e6f2b42")
MOST_NAME: Final = 120
"""Characters of a file name."""
TURNS: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""With them `fdp.exe` is shown as `exe.pdf`. Marks of a letter's own direction are left alone."""


def document_id(tenant: str, owner: str, sha256: str) -> str:
    """The id of a file's content for one owner.

    A colon in the name of a tenant is written as in an address, so that no two owners share an id.
    """
    first = tenant.replace("%", "%25").replace(":", "%3A")
    return str(uuid5(NAMESPACE, f"{first}:{owner}:{sha256}"))


def parse_id(document: str, parser: str, version: str) -> str:
    """The id of what one parser made of a document."""
    return str(uuid5(NAMESPACE, f"{document}:{_canonical(parser)}:{version}"))


def chunk_id(document: str, chunker: str, ordinal: int, sha256: str) -> UUID:
    """The id of a chunk: changed text gets another one, equal text keeps it.

    Args:
        document: The id of its document.
        chunker: Name and version, `markdown@1`.
        ordinal: Its place in the document, from 0.
        sha256: Of its text as UTF-8.
    """
    name, _, version = chunker.partition("@")
    return uuid5(NAMESPACE, f"{document}:{_canonical(name)}:{version}:{ordinal}:{sha256}".lower())


def text_sha256(text: str) -> str:
    """64 hexadecimal digits of a text's UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def checked_name(name: str) -> str:
    """A file name that can be shown: the last part of a path, white space collapsed.

    Raises:
        UserError: Nothing is left of it, it is longer than 120 characters, has control ones or
            marks that turn the direction of text, or means a folder.
    """
    last = " ".join(re.split(r"[/\\]", name)[-1].split(" ")).strip()
    if any(unicodedata.category(letter) in {"Cc", "Cs"} for letter in last):
        raise UserError(f"the file name {last!r} has control characters: rename the file")
    if not TURNS.isdisjoint(last):
        raise UserError(
            f"the file name {last!a} has marks that turn the direction of text: rename the file"
        )
    if not 0 < len(last) <= MOST_NAME:
        raise UserError(f"a file name has 1 to {MOST_NAME} characters, not {len(last)}")
    if last in {".", ".."}:
        raise UserError(f"{last!r} is no name of a file")
    return last


def _canonical(name: str) -> str:
    kept = "".join(letter for letter in name if unicodedata.category(letter) != "Cc")
    return " ".join(kept.lower().split())
