"""What parsing gives: normalised Markdown, and where its pages begin."""

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field

from headrace.pipelines.documents.parsing.errors import FileLimitError, NoTextError
from headrace.pipelines.documents.parsing.limits import ParseLimits

# All that str.splitlines() takes for the end of a line, so that everyone counts the same lines.
_LINE_END = re.compile("\r\n|[\r\v\f\x1c-\x1e\x85\u2028\u2029]")
# What PostgreSQL cannot store, what nobody sees, and the two code points that are no characters.
_UNSAFE = re.compile("[\0-\x08\x0e-\x1f\x7f-\x9f\ufffe\uffff]")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Parsed:
    """A file that has been read.

    Attributes:
        markdown: Normalised (see `normalise`); never empty.
        pages: The 1-based line on which each page begins; empty where the kind has no pages. A
            page without text begins where the next text begins, or one line past the end.
    """

    markdown: str
    pages: list[int] = field(default_factory=list)


def page_at(pages: list[int], line: int) -> int | None:
    """The 1-based page on which a line of the Markdown stands; None where there are no pages."""
    return max(1, bisect_right(pages, line)) if pages else None


def normalise(markdown: str) -> str:
    r"""The form in which Markdown is stored and hashed; doing it twice changes nothing.

    Lines end with `\n` and have no white space before it, the text has none at its ends, lone
    surrogates are U+FFFD, control characters are gone. Takes time in proportion to the length.
    """
    text = _LINE_END.sub("\n", markdown)
    text = _UNSAFE.sub("", text)
    if _SURROGATE.search(text):
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return "\n".join(line.rstrip() for line in text.split("\n")).strip()


def join_pages(texts: Iterable[str]) -> tuple[str, list[int]]:
    """The normalised Markdown of some pages, and the lines on which they begin, as in `Parsed`."""
    parts: list[str] = []
    pages: list[int] = []
    line = 1
    for text in map(normalise, texts):
        pages.append(line)
        if text:
            parts.append(text)
            line += text.count("\n") + 2  # and the empty line between two pages
    markdown = "\n\n".join(parts)
    return markdown, bounded_pages(pages, markdown)


def bounded_pages(pages: Iterable[int], markdown: str) -> list[int]:
    """The lines on which pages begin, none of them beyond one line past the end of the text."""
    last = markdown.count("\n") + 1
    return [min(start, last + 1) for start in pages]


def checked(markdown: str, limits: ParseLimits) -> str:
    """The normalised Markdown, if there is any and not too much.

    Raises:
        NoTextError: There is none.
        FileLimitError: It has more characters than the limit.
    """
    text = normalise(markdown)
    refuse_long(len(text), limits)
    if not text:
        raise NoTextError("there is no text in the file")
    return text


def refuse_long(characters: int, limits: ParseLimits) -> None:
    """Check a number of characters.

    Raises:
        FileLimitError: They are more than the limit.
    """
    if characters > limits.characters:
        raise FileLimitError(
            f"the file has more than {limits.characters:,} characters of text; split it"
        )
