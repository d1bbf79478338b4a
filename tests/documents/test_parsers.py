"""What tells parsers apart: how each is handed a file, how it signs, what it says."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as some

from headrace import PermanentError, RetryAfter, UserError
from headrace.pipelines.documents.external.calls import Call, CallbackRefusedError, canonical, sign
from headrace.pipelines.documents.external.fetching import fetch_text
from headrace.pipelines.documents.external.generic import Generic, SignedHeaders, Stamped
from headrace.pipelines.documents.external.llamaparse import LlamaParse
from headrace.pipelines.documents.external.news import ParserAnswer
from headrace.pipelines.documents.external.opening import Parser
from headrace.pipelines.documents.external.provider import NewsError, Provider
from headrace.pipelines.documents.external.sending import ParserUnavailableError, send_file
from headrace.pipelines.documents.model import Document, ParsedFile
from headrace.pipelines.documents.parsing import Kind
from headrace.testing import Fault, ParseCall, ParserServer
from headrace.testing.parser_server import Kind as Spoken

HEADERS = SignedHeaders("x-parser-signature", "x-parser-timestamp", "x-parser-nonce")
CALL = Call(UUID(int=7), 3)
MASTER, BEFORE = b"of these tests alone: 0123456789", b"of these tests alone: abcdefghij"
DATA = b"The miller opens the sluice."
DOCUMENT = Document("d", "mill.txt", Kind.TEXT, hashlib.sha256(DATA).hexdigest())
KINDS: tuple[Spoken, ...] = ("generic", "stamped", "llamaparse")


def provider_of(kind: Spoken, url: str) -> Provider:
    options = {"tier": "agentic"}
    if kind == "llamaparse":
        return LlamaParse(url, options)
    return (Generic if kind == "generic" else Stamped)(url, HEADERS, options)


@contextmanager
def meeting(kind: Spoken, **parts: Any) -> Iterator[tuple[ParserServer, Parser]]:
    """A parser that listens, and what we know of it."""
    with ParserServer(kind=kind, **{"delay_s": 600.0, **parts}) as server:
        parser = Parser(
            kind=kind,
            provider=provider_of(kind, server.url),
            url=server.url,
            api_key="test-key",
            secrets=[MASTER, BEFORE],
            callback_base="http://127.0.0.1:9/",
            timeout_s=5.0,
        )
        yield server, parser


async def hand_over(parser: Parser) -> str:
    return await send_file(parser, CALL, DOCUMENT, DATA, "key-1")


@pytest.mark.parametrize("kind", KINDS)
class TestEach:
    async def test_it_is_told_what_to_parse_and_where_to_answer(self, kind: Spoken):
        with meeting(kind) as (server, parser):
            reference = await hand_over(parser)
            assert await hand_over(parser) == reference
            [call] = server.calls
        assert (call.id, call.name, call.data) == (reference, "mill.txt", DATA)
        assert call.callback_url == f"http://127.0.0.1:9/v1/webhooks/{kind}?job={CALL.job}&run=3"
        assert call.key == CALL.key(MASTER)
        assert MASTER.decode() not in repr(call.fields), "only the key of this one call leaves us"
        given_options = json.loads(
            call.fields["configuration" if kind == "llamaparse" else "options"]
        )
        assert given_options["tier"] == "agentic"

    async def test_its_signature_holds_with_either_secret_and_no_other(self, kind: Spoken):
        with meeting(kind) as (server, parser):
            await hand_over(parser)
            [call] = server.calls
            body = json.dumps(server._said(call, None, None)).encode()
            for master in (MASTER, BEFORE):
                stamp = self.stamp(server, parser, call, body, CALL.key(master))
                stamp.check(parser.keys(CALL))
                stamp.check_time(time.time())
            for key in (MASTER.decode(), Call(CALL.job, 2).key(MASTER), ""):
                stamp = self.stamp(server, parser, call, body, key or "x")
                with pytest.raises(CallbackRefusedError, match="no signature"):
                    stamp.check(parser.keys(CALL))

    def stamp(
        self, server: ParserServer, parser: Parser, call: ParseCall, body: bytes, key: str
    ) -> Any:  # noqa: ANN401
        headers = {name.lower(): text for name, text in server.sign(call, body, key=key).items()}
        return parser.provider.read_stamp(CALL, headers, body)

    async def test_what_it_answers_decides_whether_it_is_asked_again(self, kind: Spoken):
        with meeting(kind) as (server, parser):
            for fault in (Fault.SERVER_ERROR, Fault.RESET, Fault.TIMED_OUT):
                server.fail_next(fault)
                with pytest.raises(ParserUnavailableError):
                    await hand_over(parser)
            server.fail_next(Fault.RATE_LIMITED)
            with pytest.raises(RetryAfter, match="again after 2 s"):
                await hand_over(parser)
            server.api_key = "another"
            with pytest.raises(PermanentError, match="PARSER_API_KEY"):
                await hand_over(parser)

    async def test_one_that_does_not_take_the_file_is_believed(self, kind: Spoken):
        with meeting(kind) as (server, parser):
            server.paths = ()
            with pytest.raises(PermanentError, match="answered 404"):
                await hand_over(parser)


class TestLlamaParse:
    async def test_the_text_of_all_pages_is_fetched_by_its_id(self):
        text = "\f# Sluices\n\nAt dawn.\fOn the last page."
        with meeting("llamaparse", parse=lambda _name, _data: text) as (_, parser):
            reference = await hand_over(parser)
            found = await fetch_text(parser, ParserAnswer("parsed"), reference, 1_000)
        assert found.text == "# Sluices\n\nAt dawn.\n\nOn the last page."
        assert found.pages == [1, 1, 5]

    async def test_the_job_of_a_later_try_may_not_have_ended_when_an_earlier_one_calls_back(self):
        with meeting("llamaparse") as (server, parser):
            reference = await hand_over(parser)
            server.busy = True
            with pytest.raises(ParserUnavailableError, match="has not finished with the file"):
                await fetch_text(parser, ParserAnswer("parsed"), reference, 1_000)
            server.busy = False
            assert (await fetch_text(parser, ParserAnswer("parsed"), reference, 1_000)).text

    def test_events_are_told_apart(self):
        provider = provider_of("llamaparse", "https://api.cloud.llamaindex.ai")
        said = {
            event: provider.read_news(json.dumps({"event_type": f"parse.{event}"}).encode())
            for event in ("success", "partial_success", "error", "cancelled", "pending", "running")
        }
        assert [(news.state, news.failure) for news in said.values()] == [
            ("parsed", "user"),
            ("parsed", "user"),
            ("failed", "user"),
            ("failed", "transient"),
            ("processing", "user"),
            ("processing", "user"),
        ]
        with pytest.raises(NewsError, match="no event of a parse job"):
            provider.read_news(b'{"event_type": "extract.success"}')

    @pytest.mark.parametrize(
        "event",
        [
            {"timestamp": "now", "event_id": "e" * 8},
            {"timestamp": 1e999, "event_id": "e" * 8},
            {"timestamp": 1.5},
            [],
        ],
    )
    def test_an_event_without_time_or_id_is_not_believed(self, event: object):
        body = json.dumps(event).encode()
        headers = {"lc-signature": f"sha256={sign(CALL.key(MASTER), body)}"}
        with pytest.raises(CallbackRefusedError):
            provider_of("llamaparse", "https://x.example").read_stamp(CALL, headers, body)


class TestResults:
    async def test_more_text_than_is_accepted_is_refused(self):
        with meeting("generic", gives_address=True) as (server, parser):
            await hand_over(parser)
            answer = ParserAnswer(
                "parsed", result_url=f"{server.base_url}/results/{server.calls[0].id}"
            )
            assert (await fetch_text(parser, answer, "", 100)).text == DATA.decode()
            with pytest.raises(UserError, match="more than 5 characters"):
                await fetch_text(parser, answer, "", 5)
            with pytest.raises(UserError, match="more than 2 characters"):
                await fetch_text(parser, answer, "", 2)  # it is not even read to its end

    async def test_the_key_of_the_parser_goes_to_no_address_of_a_callback(self):
        with meeting("generic") as (server, parser):
            answer = ParserAnswer("parsed", result_url=f"{server.base_url}/models")
            with pytest.raises(ParserUnavailableError, match="answered 401"):
                await fetch_text(parser, answer, "", 100)


texts = some.text(alphabet=some.characters(codec="ascii", categories=("L", "N", "P")), max_size=20)


class TestWhatIsSigned:
    @given(
        some.tuples(some.uuids(), texts, texts, some.binary(max_size=40)),
        some.tuples(some.uuids(), texts, texts, some.binary(max_size=40)),
    )
    def test_no_two_callbacks_are_signed_alike(
        self, one: tuple[UUID, str, str, bytes], other: tuple[UUID, str, str, bytes]
    ):
        assert (canonical(*one) == canonical(*other)) == (one == other)

    @given(some.integers(0, 3), texts.filter(bool))
    def test_moving_a_letter_from_one_field_to_the_next_is_seen(self, place: int, text: str):
        fields = [text, text, "body"]
        moved = list(fields)
        source = place % 2
        moved[source], moved[source + 1] = (
            fields[source][:-1],
            fields[source][-1] + fields[source + 1],
        )
        a = canonical(CALL.job, fields[0], fields[1], fields[2].encode())
        b = canonical(CALL.job, moved[0], moved[1], moved[2].encode())
        assert a != b

    def test_keys_differ_by_job_run_and_secret(self):
        calls = [CALL, Call(CALL.job, 4), Call(UUID(int=8), 3)]
        keys = {call.key(master) for call in calls for master in (MASTER, BEFORE)}
        assert len(keys) == 6

    def test_a_seal_holds_for_one_answer_of_one_job(self):
        answer = ParserAnswer("parsed", ParsedFile("storage://local/a", "0" * 64, 9))
        sealed = answer.sealed(CALL.job, [MASTER])
        assert sealed.is_sealed(CALL.job, [BEFORE, MASTER])
        assert not sealed.is_sealed(UUID(int=8), [BEFORE, MASTER])
        assert not sealed.is_sealed(CALL.job, [BEFORE])
        assert not answer.is_sealed(CALL.job, [MASTER])
        other = ParserAnswer(
            "parsed", ParsedFile("storage://local/b", "0" * 64, 9), seal=sealed.seal
        )
        assert not other.is_sealed(CALL.job, [MASTER])
        handed = ParserAnswer("local", seal=sign(CALL.key(MASTER), b"local"))
        assert not handed.is_sealed(CALL.job, [MASTER]), "the key that the parser has seals nothing"
