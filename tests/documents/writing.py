"""Texts for the tests, in which every word can be found again."""

import hashlib
from collections.abc import Sequence

from tests.documents.files import docx, pdf

SYLLABLES = "badefigolumanepirosutavewizokale"


def words(count: int, seed: str) -> list[str]:
    """Made-up words, other ones for each seed."""
    digits = hashlib.shake_256(seed.encode()).hexdigest(2 * count)
    return ["".join(map(_syllable, digits[place : place + 4])) for place in range(0, 4 * count, 4)]


def sentence(seed: str, count: int = 9) -> str:
    """A sentence of made-up words."""
    return " ".join(words(count, seed)).capitalize() + "."


def markdown(name: str, sections: int = 10) -> str:
    """A text with a heading and a paragraph for each section, each of which is a chunk or two."""
    parts = [
        f"## Part {number} of {name}\n\n{sentence(f'{name} {number}')}"
        for number in range(sections)
    ]
    return f"# The book of {name}\n\n" + "\n\n".join(parts) + "\n"


def in_kind(kind: str, sentences: Sequence[str]) -> bytes:
    """A file of a kind with these sentences as paragraphs; two a page where there are pages."""
    if kind == "pdf":
        pairs = [sentences[place : place + 2] for place in range(0, len(sentences), 2)]
        return pdf(["\n\n".join(pair) for pair in pairs])
    if kind == "docx":
        return docx(["# Title", *sentences])
    if kind == "html":
        body = "".join(f"<p>{text}</p>" for text in sentences)
        return f"<!doctype html><html><body><h1>Title</h1>{body}</body></html>".encode()
    lead = "# Title\n\n" if kind == "md" else ""
    return (lead + "\n\n".join(sentences) + "\n").encode()


def _syllable(digit: str) -> str:
    place = 2 * int(digit, 16)
    return SYLLABLES[place : place + 2]
