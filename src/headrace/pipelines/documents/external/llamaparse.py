"""LlamaParse: version 2 of its API, with webhooks that are signed by a secret of each job.

A webhook tells of an event and holds no text: that is fetched by the id that LlamaParse gave.
Its signature is over the whole body, in which the time and the id of the event stand; the secret
is that of one job, so it says for which job it was made.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import orjson

from headrace.pipelines.documents.external.calls import CallbackRefusedError, Stamp, read_nonce
from headrace.pipelines.documents.external.generic import header
from headrace.pipelines.documents.external.news import Failure, News, one_line
from headrace.pipelines.documents.external.provider import Form, NewsError
from headrace.pipelines.documents.parsing.result import join_pages

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.pipelines.documents.external.calls import Call
    from headrace.pipelines.documents.external.provider import Errand

SIGNATURE: Final = "lc-signature"
PREFIX: Final = "sha256="
PATH: Final = "/api/v2/parse"
EVENTS: Final = ("parse.success", "parse.partial_success", "parse.error", "parse.cancelled")
USUAL: Final = {"tier": "cost_effective", "version": "latest"}
"""What a request has to say; the settings may say otherwise."""
UNDER_WAY: Final = ("PENDING", "RUNNING")
"""The status of a job that has no text yet."""
FAILED: Final[Mapping[str, Failure]] = {"parse.error": "user", "parse.cancelled": "transient"}


@dataclass(frozen=True, slots=True)
class LlamaParse:
    """As https://developers.llamaindex.ai/llamaparse/general/webhooks has it."""

    url: str
    options: Mapping[str, object]

    def compose(self, errand: Errand) -> Form:
        """An upload whose webhook is signed with the key of the call."""
        webhook = {
            "webhook_url": errand.callback_url,
            "webhook_events": EVENTS,
            "webhook_output_format": "json",
            "webhook_signing_secret": errand.key,
        }
        configuration = {**USUAL, **self.options, "webhook_configurations": [webhook]}
        fields = {"configuration": orjson.dumps(configuration).decode()}
        return Form(f"{self.url.rstrip('/')}{PATH}/upload", fields)

    def read_reference(self, answer: bytes) -> str:
        """The id of its job, without which nothing can be fetched.

        Raises:
            NewsError: There is none.
        """
        given = _object(answer)
        reference = given.get("id")
        if not isinstance(reference, str) or not reference:
            raise NewsError("the answer has no `id` of a job")
        return reference

    def read_stamp(self, call: Call, headers: Mapping[str, str], body: bytes) -> Stamp:  # noqa: ARG002 - the key is the call's
        """Of the one header and the body that is signed with it."""
        given = header(headers, SIGNATURE).removeprefix(PREFIX).lower()
        try:
            event = _object(body)
        except NewsError as error:
            raise CallbackRefusedError(str(error)) from None
        timestamp, nonce = event.get("timestamp"), event.get("event_id")
        if not isinstance(timestamp, int | float) or not math.isfinite(timestamp):
            raise CallbackRefusedError("`timestamp` is no number of seconds since 1970")
        if not isinstance(nonce, str):
            raise CallbackRefusedError("`event_id` is missing")
        return Stamp(float(timestamp), read_nonce(nonce), (given,), body)

    def read_news(self, body: bytes) -> News:
        """One of its events about parsing."""
        event = str(_object(body).get("event_type"))
        if event in {"parse.success", "parse.partial_success"}:
            return News("parsed")
        if event in FAILED:
            return News("failed", reason=f"LlamaParse says {event}", failure=FAILED[event])
        if event in {"parse.pending", "parse.running"}:
            return News("processing")
        raise NewsError(f"event_type: {one_line(event)[:60]!r} is no event of a parse job")

    def result_url(self, reference: str) -> str | None:
        """Where its job is, with the Markdown of all pages."""
        return f"{self.url.rstrip('/')}{PATH}/{quote(reference, safe='')}?expand=markdown"

    def read_result(self, answer: bytes, content_type: str) -> News:  # noqa: ARG002 - always JSON
        """The Markdown of all pages, in order."""
        found = _object(answer)
        job, markdown = found.get("job"), found.get("markdown")
        if isinstance(job, dict) and job.get("status") in UNDER_WAY:
            return News("processing")
        pages = markdown.get("pages") if isinstance(markdown, dict) else None
        if not isinstance(pages, list):
            raise NewsError("markdown.pages: there is no list of pages")
        text, begins = join_pages(map(_text_of, pages))
        return News("parsed", markdown=text, pages=begins)


def _text_of(page: object) -> str:
    """The text of a page; nothing of one that could not be parsed."""
    text = page.get("markdown") if isinstance(page, dict) else None
    return text if isinstance(text, str) else ""


def _object(text: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        raise NewsError("it is no JSON object")
    return value
