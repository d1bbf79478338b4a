"""Gets the text of a document that was parsed elsewhere, from where the parser says it lies."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from headrace import PermanentError, UserError
from headrace.pipelines.documents.external.provider import NewsError
from headrace.pipelines.documents.external.sending import ParserUnavailableError
from headrace.pipelines.documents.parsed import Markdown
from headrace.pipelines.documents.parsing.result import bounded_pages, normalise
from headrace.pipelines.documents.settings import documents_settings

if TYPE_CHECKING:
    from uuid import UUID

    from headrace.egress.client import Answer
    from headrace.pipelines.documents.external.news import News, ParserAnswer
    from headrace.pipelines.documents.external.opening import Parser

AGAIN: Final = "retry the document, which sends its file again"
BYTES_PER_CHARACTER: Final = 8
"""Of a result, at most: 4 in UTF-8, and as much again for what stands around it."""


class ParserFailedError(PermanentError):
    """The parser failed for a reason of its own; the text can be shown."""

    code = "PARSER_FAILED"


class ParserLateError(PermanentError):
    """The parser has not called back in time; the text can be shown."""

    code = "PARSER_TIMEOUT"


def checked_answer(answer: ParserAnswer | None, job: UUID, parser: Parser) -> ParserAnswer:
    """An answer with which a document can go on.

    Args:
        answer: What was sent; None where nothing came in time.
        job: To whom.
        parser: Whose secrets seal answers.

    Raises:
        UserError: The parser could not read the file.
        ParserFailedError: It failed for a reason of its own.
        ParserLateError: Nothing came in time.
        PermanentError: Somebody else has sent this, or the secrets were changed twice.
    """
    if answer is None:
        within = documents_settings().parser_callback_s
        raise ParserLateError(f"the parser has not called back within {within:,} s: {AGAIN}")
    if not answer.is_sealed(job, parser.secrets):
        raise PermanentError(f"the signal `parsed` did not come from a callback: {AGAIN}")
    if answer.state == "failed" and answer.failure == "user":
        raise UserError(f"the parser could not read the file: {answer.reason}")
    if answer.state == "failed":
        raise ParserFailedError(f"the parser failed: {answer.reason}: {AGAIN}")
    return answer


async def fetch_text(
    parser: Parser, answer: ParserAnswer, reference: str, most_characters: int
) -> Markdown:
    """The text that an answer does not hold itself.

    An address that came with a callback is a stranger's: it is called only where it is public, or
    on the host of the parser itself. The parser's key goes nowhere but to the parser's own address.

    Args:
        parser: Whose answer it is.
        answer: Tells where the text lies.
        reference: The parser's id of its job.
        most_characters: More of them are refused.

    Raises:
        UserError: There is no text, or too much.
        PermanentError: The address may not be called, or there is nothing that can be read.
        ParserUnavailableError: There is no answer now.
    """
    own = parser.provider.result_url(reference) if answer.result_url is None else None
    url = answer.result_url or own
    if url is None:
        raise PermanentError(f"{parser.name} says that it is done, but not where the text is")
    found = await _get(parser, url, parser.headers if own else {}, most_characters)
    try:
        news = parser.provider.read_result(found.body, found.headers.get("content-type", ""))
    except NewsError as error:
        raise PermanentError(f"the result of {parser.name} cannot be read: {error}") from None
    if news.state == "processing":  # a try whose answer we have not heard was the first to end
        raise ParserUnavailableError(f"{parser.name} has not finished with the file")
    return text_of(news, most_characters)


def text_of(news: News, most_characters: int) -> Markdown:
    """The text of a callback or a result, normalised.

    Raises:
        UserError: There is none, or too much.
    """
    if news.state == "failed":
        raise UserError(f"the parser could not read the file: {news.reason}")
    text = normalise(news.markdown or "")
    if not text:
        raise UserError("the parser found no text in the file")
    if len(text) > most_characters:
        raise UserError(f"the file has more than {most_characters:,} characters of text; split it")
    return Markdown(text, bounded_pages(sorted(news.pages), text))


async def _get(parser: Parser, url: str, headers: dict[str, str], most_characters: int) -> Answer:
    from headrace.egress.client import CallError, Egress, Limits  # noqa: PLC0415 - an extra
    from headrace.egress.target import Rules, TargetError  # noqa: PLC0415

    most = most_characters * BYTES_PER_CHARACTER
    limits = Limits(total_s=parser.timeout_s, answer_bytes=most)
    egress = Egress(Rules(frozenset({parser.host})), limits=limits)
    try:
        answer = await egress.get(url, headers)
    except TargetError as error:
        raise PermanentError(f"the address of the result is not called: {error}") from None
    except CallError as error:
        raise ParserUnavailableError(f"the result of {parser.name}: {error}") from None
    finally:
        await egress.close()
    if answer.status != HTTPStatus.OK:
        said = f"the address of the result of {parser.name} answered {answer.status}"
        raise ParserUnavailableError(said)
    if answer.is_cut:
        raise UserError(f"the file has more than {most_characters:,} characters of text; split it")
    return answer
