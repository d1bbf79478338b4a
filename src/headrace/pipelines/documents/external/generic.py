"""The parser that speaks our own protocol, and the one that signs nothing but job and time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from headrace.pipelines.documents.external.calls import (
    CallbackRefusedError,
    Stamp,
    canonical,
    read_nonce,
    read_time,
)
from headrace.pipelines.documents.external.news import Failure, News, one_line
from headrace.pipelines.documents.external.provider import Form, NewsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.pipelines.documents.external.calls import Call
    from headrace.pipelines.documents.external.provider import Errand

VERSION: Final = "v1="
"""Before each signature of a header."""
MOST_PAGES: Final = 100_000
LAST: Final = 2**31 - 1

Count: TypeAlias = Annotated[int, Field(strict=True, ge=0, le=LAST)]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ParsedBody(_Closed):
    """The file is parsed."""

    state: Literal["parsed"]
    markdown: str | None = None
    result_url: Annotated[str | None, Field(max_length=2_048)] = None
    pages: Annotated[
        list[Annotated[int, Field(strict=True, ge=1)]], Field(max_length=MOST_PAGES)
    ] = []

    def news(self) -> News:
        """What it says."""
        return News("parsed", markdown=self.markdown, result_url=self.result_url, pages=self.pages)


class FailedBody(_Closed):
    """The file cannot be parsed: the file is at fault (`user`), or the parser (`transient`)."""

    state: Literal["failed"]
    reason: Annotated[str, Field(min_length=1, max_length=2_000)]
    failure: Annotated[Failure, Field(alias="class")] = "user"

    def news(self) -> News:
        """What it says."""
        return News("failed", reason=one_line(self.reason), failure=self.failure)


class ProcessingBody(_Closed):
    """The file is being parsed."""

    state: Literal["processing"]
    done: Count | None = None
    total: Count | None = None

    def news(self) -> News:
        """What it says."""
        return News("processing", done=self.done, total=self.total)


Body: TypeAlias = Annotated[ParsedBody | FailedBody | ProcessingBody, Field(discriminator="state")]
_BODY: Final[TypeAdapter[Body]] = TypeAdapter(Body)


@dataclass(frozen=True, slots=True)
class SignedHeaders:
    """The names of the headers of a signature, in lower case."""

    signature: str
    timestamp: str
    nonce: str


@dataclass(frozen=True, slots=True)
class Generic:
    """Signs job, time, nonce and body; see docs/how-to/wait-for-another-system.md."""

    url: str
    headers: SignedHeaders
    options: Mapping[str, object]

    def compose(self, errand: Errand) -> Form:
        """A form that says whose answer goes where, and is signed with what."""
        fields = {
            "job_id": str(errand.call.job),
            "callback_url": errand.callback_url,
            "callback_key": errand.key,
            "sha256": errand.sha256,
        }
        if self.options:
            fields["options"] = orjson.dumps(self.options).decode()
        return Form(self.url, fields)

    def read_reference(self, answer: bytes) -> str:
        """Its `id`, if it gives one."""
        try:
            given = orjson.loads(answer)
        except orjson.JSONDecodeError:
            return ""
        reference = given.get("id") if isinstance(given, dict) else None
        return one_line(str(reference)) if reference is not None else ""

    def read_stamp(self, call: Call, headers: Mapping[str, str], body: bytes) -> Stamp:
        """Of the three headers."""
        timestamp = header(headers, self.headers.timestamp)
        nonce = read_nonce(header(headers, self.headers.nonce))
        given = signatures(header(headers, self.headers.signature))
        content = canonical(call.job, timestamp, nonce, body)
        return Stamp(read_time(timestamp), nonce, given, content)

    def read_news(self, body: bytes) -> News:
        """One of the three states."""
        try:
            return _BODY.validate_json(body).news()
        except ValidationError as error:
            raise NewsError(_first_of(error)) from None

    def result_url(self, reference: str) -> str | None:  # noqa: ARG002 - it has its own
        """None: a callback without the text says where that is."""
        return None

    def read_result(self, answer: bytes, content_type: str) -> News:
        """Markdown as it stands, or the body of a callback that has it."""
        if content_type.partition(";")[0].strip().lower() == "application/json":
            return self.read_news(answer)
        try:
            return News("parsed", markdown=answer.decode())
        except UnicodeDecodeError:
            raise NewsError("it is no text in UTF-8") from None


@dataclass(frozen=True, slots=True)
class Stamped(Generic):
    """Signs `job:time` alone, so its body is trusted because it came by TLS from whom the key has.

    The time stands for the nonce: a second callback of the same second has to be the same one.
    """

    def read_stamp(self, call: Call, headers: Mapping[str, str], body: bytes) -> Stamp:  # noqa: ARG002 - is not signed
        """Of two headers."""
        timestamp = header(headers, self.headers.timestamp)
        given = signatures(header(headers, self.headers.signature))
        return Stamp(
            read_time(timestamp), f"at:{timestamp}", given, f"{call.job}:{timestamp}".encode()
        )


def header(headers: Mapping[str, str], name: str) -> str:
    """A header that has to be there.

    Raises:
        CallbackRefusedError: It is not.
    """
    try:
        return headers[name].strip()
    except KeyError:
        raise CallbackRefusedError(f"the header {name} is missing") from None


def signatures(text: str) -> tuple[str, ...]:
    """The signatures of a header: several, with commas, while whoever signs changes its key."""
    return tuple(part.strip().removeprefix(VERSION).lower() for part in text.split(","))


def _first_of(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, found["loc"])) or "the body"
    return f"{place}: {found['msg']}"
