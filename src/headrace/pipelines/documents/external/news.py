"""What a parser says, in whatever form, and what of it the job is told."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import orjson

from headrace.pipelines.documents.external.calls import derive
from headrace.pipelines.documents.model import ParsedFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

Failure: TypeAlias = Literal["user", "transient"]
"""Whether the file is at fault, or the parser."""
LONGEST_REASON: Final = 300
"""Characters of the parser's own words that are kept."""


@dataclass(frozen=True, slots=True)
class News:
    """What one callback says.

    Attributes:
        state: `processing` ends no wait.
        markdown: The text, where it came with the callback.
        result_url: Where the text can be fetched, where it did not.
        pages: The lines on which pages begin, from 1; empty where the parser does not tell.
        reason: Why it failed, one line.
        failure: Whose fault that was.
        done: Pages or whatever the parser counts.
        total: Of how many.
    """

    state: Literal["parsed", "failed", "processing"]
    markdown: str | None = None
    result_url: str | None = None
    pages: list[int] = field(default_factory=list)
    reason: str = ""
    failure: Failure = "user"
    done: int | None = None
    total: int | None = None


@dataclass(frozen=True, slots=True)
class ParserAnswer:
    """What ends the wait for a parser, as the job's signal `parsed`.

    Attributes:
        state: `local` where an operator had the file parsed here.
        file: The Markdown, where it is stored already.
        result_url: Where it can be fetched; without both, the parser is asked for it by its id.
        pages: As of `News`.
        reason: Why it failed.
        failure: Whose fault that was.
        seal: Proves that this code made it; signals can be sent by others, too.
    """

    state: Literal["parsed", "failed", "local"]
    file: ParsedFile | None = None
    result_url: str | None = None
    pages: list[int] = field(default_factory=list)
    reason: str = ""
    failure: Failure = "user"
    seal: str = ""

    def sealed(self, job: UUID, masters: Sequence[bytes]) -> ParserAnswer:
        """The same, with its seal.

        Args:
            job: That it is for; also its later runs may use it.
            masters: The secrets of the settings, the newest first.
        """
        return replace(self, seal=self._seal(job, masters[0]))

    def is_sealed(self, job: UUID, masters: Iterable[bytes]) -> bool:
        """Whether it was sealed for this job, as it stands."""
        given = self.seal.encode()
        matches = [hmac.compare_digest(given, self._seal(job, one).encode()) for one in masters]
        return any(matches)

    def _seal(self, job: UUID, master: bytes) -> str:
        text = orjson.dumps(replace(self, seal=""), option=orjson.OPT_SORT_KEYS).decode()
        return derive(master, f"answer:{job}:{text}")


def one_line(text: str) -> str:
    """A stranger's words as one line that can be shown."""
    line = " ".join(text.split())
    return "".join(filter(str.isprintable, line))[:LONGEST_REASON]
