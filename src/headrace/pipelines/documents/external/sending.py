"""Hands a file to the parser."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from headrace import PermanentError, RetryAfter, UnavailableError, UserError
from headrace.pipelines.documents.external.news import one_line
from headrace.pipelines.documents.external.provider import Errand, NewsError
from headrace.pipelines.openai_servers import wait_s

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx2

    from headrace.pipelines.documents.external.calls import Call
    from headrace.pipelines.documents.external.opening import Parser
    from headrace.pipelines.documents.external.provider import Form
    from headrace.pipelines.documents.model import Document

CONNECT_S: Final = 10.0
OF_THE_FILE: Final = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    }
)
"""What a parser answers that does not take this file."""
BUSY: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
LONGEST_ANSWER: Final = 64 * 1_024


class ParserUnavailableError(UnavailableError):
    """The parser did not take the file now; another try may help."""

    code = "parser_unavailable"


async def send_file(
    parser: Parser, call: Call, document: Document, data: bytes, idempotency_key: str
) -> str:
    """Hand a file over; the parser's own id of its job, empty where it gives none.

    Args:
        parser: To whom.
        call: What its answer will be for.
        document: Whose file it is.
        data: The file.
        idempotency_key: The same in every try.

    Raises:
        UserError: It does not take this file.
        PermanentError: It does not take anything of ours.
        RetryAfter: It is busy, and says for how long.
        ParserUnavailableError: It did not answer, or failed.
    """
    errand = Errand(
        call,
        parser.keys(call)[0],
        parser.callback_url(call),
        document.name,
        document.kind.mime,
        document.sha256,
    )
    form = parser.provider.compose(errand)
    headers = {**parser.headers, "Idempotency-Key": idempotency_key}
    answer = await _post(parser, form, headers, (document.name, data, document.kind.mime))
    _refuse(parser, document, answer)
    try:
        return parser.provider.read_reference(answer.content[:LONGEST_ANSWER])
    except NewsError as error:
        raise ParserUnavailableError(f"{parser.name}: {error}") from None


async def _post(
    parser: Parser, form: Form, headers: Mapping[str, str], file: tuple[str, bytes, str]
) -> httpx2.Response:
    try:
        import httpx2  # noqa: PLC0415 - an extra, and 0.1 s
    except ModuleNotFoundError as error:
        raise PermanentError(f"{error.name} is missing: pip install 'headrace[client]'") from error

    limits = httpx2.Timeout(parser.timeout_s, connect=min(CONNECT_S, parser.timeout_s))
    try:
        async with (
            asyncio.timeout(parser.timeout_s),
            httpx2.AsyncClient(timeout=limits, follow_redirects=False) as client,
        ):
            return await client.post(
                form.url, data=dict(form.fields), files={"file": file}, headers=dict(headers)
            )
    except (httpx2.HTTPError, TimeoutError) as error:
        reason = one_line(str(error)) or type(error).__name__
        raise ParserUnavailableError(
            f"{parser.name} did not answer within {parser.timeout_s:g} s: {reason}"
        ) from None


def _refuse(parser: Parser, document: Document, answer: httpx2.Response) -> None:
    status = answer.status_code
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return
    said = f"{parser.name} answered {status}"
    if status in BUSY:
        raise RetryAfter(wait_s(answer.headers), said)
    if status in OF_THE_FILE:
        raise UserError(f"the parser does not take {document.name} (status {status})")
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.REQUEST_TIMEOUT:
        raise ParserUnavailableError(said)
    raise PermanentError(
        f"{said}: see HEADRACE_DOCUMENTS_PARSER_URL and HEADRACE_DOCUMENTS_PARSER_API_KEY"
    )
