"""What tells parsers apart: how a file is handed over, how callbacks are signed, what they say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from headrace import InvalidError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.pipelines.documents.external.calls import Call, Stamp
    from headrace.pipelines.documents.external.news import News


class NewsError(InvalidError):
    """A callback that is signed well, or a result, is nothing that its provider sends."""

    code = "news_refused"


@dataclass(frozen=True, slots=True)
class Errand:
    """A file on its way to the parser.

    Attributes:
        call: What the answer will be for.
        key: With which callbacks are signed.
        callback_url: Where they go.
        name: Of the file.
        mime: Of the file.
        sha256: Of the file.
    """

    call: Call
    key: str = field(repr=False)
    callback_url: str
    name: str
    mime: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Form:
    """A request that hands a file over: a form of fields and the file, as the field `file`."""

    url: str
    fields: Mapping[str, str] = field(repr=False)


class Provider(Protocol):
    """One kind of parser."""

    def compose(self, errand: Errand) -> Form:
        """The request that hands a file over."""

    def read_reference(self, answer: bytes) -> str:
        """The parser's own id of its job, from its answer to that request; empty without one."""

    def read_stamp(self, call: Call, headers: Mapping[str, str], body: bytes) -> Stamp:
        """How a callback is signed.

        Args:
            call: What it says that it answers.
            headers: With names in lower case.
            body: Exactly the bytes that came.

        Raises:
            CallbackRefusedError: It is not.
        """

    def read_news(self, body: bytes) -> News:
        """What a callback says.

        Raises:
            NewsError: It is nothing that this provider says.
        """

    def result_url(self, reference: str) -> str | None:
        """Where the result of a job of the parser's is, for callbacks that do not tell."""

    def read_result(self, answer: bytes, content_type: str) -> News:
        """The text, from what lies there; `processing` where there is none yet.

        Raises:
            NewsError: It is nothing that this provider has there.
        """
