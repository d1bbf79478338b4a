"""The client of OpenAI's protocol, against a real server with every fault."""

import logging
import traceback
from array import array
from collections.abc import AsyncIterator
from enum import StrEnum

import pytest
from pydantic import SecretStr

from headrace import PermanentError, RetryAfter
from headrace.pipelines.documents.embedding import (
    Embedder,
    EmbedderError,
    EmbedderOptions,
    EmbeddingFailedError,
    TextTooLongError,
    open_embedder,
)
from headrace.pipelines.openai_servers import Server, wait_s
from headrace.testing import EmbeddingServer, Fault, VectorFault
from headrace.testing.embedding_server import hash_vector

KEY = "sk-canary-0815"
NOBODY = "http://127.0.0.1:9/v1"


@pytest.fixture
async def server() -> AsyncIterator[EmbeddingServer]:
    async with EmbeddingServer(api_key=KEY, dimension=8) as server:
        yield server


@pytest.fixture
async def embedder(server: EmbeddingServer) -> AsyncIterator[Embedder]:
    embedder = await open_embedder("openai", told(server))
    yield embedder
    await embedder.aclose()


def told(server: EmbeddingServer, **options: object) -> EmbedderOptions:
    given = {"api_key": KEY, "dimension": 8, "model": "a-model", "timeout_s": 20} | options
    server.model = "a-model"
    return EmbedderOptions(base_url=server.base_url, **given)


async def embed_once(options: EmbedderOptions, *texts: str) -> list[array]:
    embedder = await open_embedder("openai", options)
    try:
        return (await embedder.embed(texts or ("a",))).vectors
    finally:
        await embedder.aclose()


class TestVectors:
    async def test_they_are_the_server_s(self, embedder: Embedder, server: EmbeddingServer):
        texts = ["one", "three of them"]
        embedded = await embedder.embed(texts)
        assert embedded.vectors == [array("f", hash_vector(text, 8)) for text in texts]
        assert server.embedded == texts

    async def test_the_tokens_are_what_the_server_says(self, embedder: Embedder):
        text = "a" * 120
        assert embedder.count_tokens(text) == 40
        assert (await embedder.embed([text])).tokens == 30

    async def test_256_texts_are_one_call(self, embedder: Embedder, server: EmbeddingServer):
        texts = [f"text {number}" for number in range(256)]
        assert len((await embedder.embed(texts)).vectors) == 256
        assert [call.texts for call in server.calls] == [tuple(texts)]

    async def test_no_text_is_no_call(self, embedder: Embedder, server: EmbeddingServer):
        assert (await embedder.embed([])).vectors == []
        assert server.calls == []

    async def test_their_order_follows_the_index(self, embedder: Embedder, server: EmbeddingServer):
        expected = (await embedder.embed(["one", "two", "three"])).vectors
        server.fail_next(VectorFault.SHUFFLED)
        assert (await embedder.embed(["one", "two", "three"])).vectors == expected

    async def test_another_length_than_the_model_s_own_is_asked_for(self):
        async with EmbeddingServer(api_key=KEY) as server:
            options = EmbedderOptions(base_url=server.base_url, api_key=KEY, dimension=4)
            [vector] = await embed_once(options)
        assert vector == array("f", hash_vector("a", 4))

    async def test_a_longer_text_is_refused_before_the_call(self, server: EmbeddingServer):
        with pytest.raises(TextTooLongError, match=r"11 tokens; a-model@1 takes at most 10"):
            await embed_once(told(server, most_tokens=10), "a" * 31)
        assert server.calls == []


class TestFailures:
    """Each is raised at once: whoever calls tries again, not the client in secret."""

    @pytest.mark.parametrize(
        ("fault", "said"),
        [
            (Fault.SERVER_ERROR, r"answered 500 \(The server had an error\)"),
            (Fault.UNAVAILABLE, "answered 503"),
            (Fault.TIMED_OUT, "answered 408"),
            (Fault.RESET, "broke its answer off"),
            (Fault.OVERSIZED, r"sent more than 1,0\d\d,\d\d\d bytes for 2 texts"),
            (VectorFault.COUNT, "1 vectors for 2 texts"),
            (VectorFault.NOT_A_NUMBER, "not finite"),
            (VectorFault.INDEX, "wrong indexes"),
        ],
    )
    async def test_a_fault_is_tried_again_by_the_step(
        self, embedder: Embedder, server: EmbeddingServer, fault: StrEnum, said: str
    ):
        server.fail_next(fault)
        with pytest.raises(EmbeddingFailedError, match=said):
            await embedder.embed(["one", "two"])
        assert len(server.calls) == 1
        assert len((await embedder.embed(["one", "two"])).vectors) == 2

    @pytest.mark.parametrize("fault", [Fault.HANG, Fault.DRIP])
    async def test_the_limit_holds_for_the_whole_call(self, server: EmbeddingServer, fault: Fault):
        server.fail_next(fault)
        with pytest.raises(EmbeddingFailedError, match=r"no whole answer within 0\.3 s"):
            await embed_once(told(server, timeout_s=0.3))

    async def test_a_server_that_is_not_there_is_tried_again_by_the_step(self):
        with pytest.raises(EmbeddingFailedError, match=r"127\.0\.0\.1:9/v1 cannot be reached: .+"):
            await embed_once(EmbedderOptions(base_url=NOBODY))

    async def test_another_dimension_is_final(self, embedder: Embedder, server: EmbeddingServer):
        server.fail_next(VectorFault.DIMENSION)
        with pytest.raises(PermanentError, match="vector of 7 numbers, but is declared with 8"):
            await embedder.embed(["a"])

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"api_key": "sk-wrong"}, "answered 401 .*check its API key"),
            ({"model": "unknown"}, "answered 404 .*check the name of the model 'unknown'"),
        ],
    )
    async def test_what_the_server_refuses_is_final(
        self, server: EmbeddingServer, options: dict[str, str], said: str
    ):
        with pytest.raises(PermanentError, match=said):
            await embed_once(told(server, **options))

    async def test_an_address_without_its_version_is_final(self, server: EmbeddingServer):
        address = server.base_url.removesuffix("/v1")
        with pytest.raises(PermanentError, match=r"address ends with its version"):
            await embed_once(EmbedderOptions(base_url=address, api_key=KEY))

    async def test_a_text_that_the_server_refuses_is_final(self, embedder: Embedder):
        with pytest.raises(PermanentError, match=r"answered 400 \(input cannot hold an empty text"):
            await embedder.embed(["a", ""])


class TestRateLimit:
    async def test_the_step_waits_for_as_long_as_the_server_asks(
        self, embedder: Embedder, server: EmbeddingServer
    ):
        server.fail_next(Fault.RATE_LIMITED)
        with pytest.raises(RetryAfter, match="Rate limit reached") as info:
            await embedder.embed(["a"])
        assert info.value.delay.total_seconds() == 2

    async def test_a_used_up_quota_is_final(self, embedder: Embedder, server: EmbeddingServer):
        server.fail_next(Fault.NO_QUOTA)
        with pytest.raises(PermanentError, match="no quota left, check its plan and billing"):
            await embedder.embed(["a"])

    @pytest.mark.parametrize(
        ("headers", "expected"),
        [
            ({"retry-after": "7"}, 7),
            ({"retry-after": "1.5"}, 1.5),
            ({"retry-after": "9", "retry-after-ms": "250"}, 0.25),
            ({"retry-after": "0"}, 0.1),
            (
                {
                    "retry-after": "Sun, 22 Nov 2026 17:00:30 GMT",
                    "date": "Sun, 22 Nov 2026 17:00:00 GMT",
                },
                30,
            ),
            (
                {
                    "retry-after": "Sun, 22 Nov 2026 16:00:30 GMT",
                    "date": "Sun, 22 Nov 2026 17:00:00 GMT",
                },
                0.1,
            ),
            ({"retry-after": "Sun, 22 Nov 2020 16:00:30 GMT"}, 0.1),
            ({}, 10),
            ({"retry-after": ""}, 10),
            ({"retry-after": "soon"}, 10),
            ({"retry-after": "-3"}, 10),
            ({"retry-after": "nan"}, 10),
            ({"retry-after": "inf"}, 10),
            ({"retry-after": "Sun, 22 Nov 2026 17:00:30 GMT", "date": "yesterday"}, 10),
        ],
    )
    def test_the_time_is_read_from_the_headers(self, headers: dict[str, str], expected: float):
        assert wait_s(headers) == pytest.approx(expected)


class TestKeys:
    async def test_a_secret_is_read(self, server: EmbeddingServer):
        assert len(await embed_once(told(server, api_key=SecretStr(KEY)))) == 1

    async def test_without_one_openai_s_own_server_is_refused(
        self, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        with pytest.raises(EmbedderError, match="needs an API key: set OPENAI_API_KEY"):
            await open_embedder("openai")

    async def test_a_server_of_one_s_own_may_need_none(self):
        async with EmbeddingServer(api_key=None) as server:
            options = EmbedderOptions(base_url=server.base_url)
            assert len(await embed_once(options)) == 1

    async def test_openai_s_own_key_is_not_sent_to_another_server(
        self, server: EmbeddingServer, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        with pytest.raises(PermanentError, match="answered 401"):
            await embed_once(told(server, api_key=None))

    async def test_openai_s_own_server_gets_its_key(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        async with EmbeddingServer(api_key=KEY) as server:
            monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)  # the client's own variable
            assert len(await embed_once(EmbedderOptions())) == 1

    async def test_no_error_shows_it_although_the_server_echoes_it(self, server: EmbeddingServer):
        server.api_key = "another"
        with pytest.raises(PermanentError) as info:
            await embed_once(told(server))
        shown = "".join(traceback.format_exception(info.value))
        assert "Incorrect API key provided: ***" in shown
        assert "canary" not in shown

    async def test_neither_it_nor_a_text_is_logged_at_debug(
        self, embedder: Embedder, caplog: pytest.LogCaptureFixture
    ):
        caplog.set_level(logging.DEBUG)
        await embedder.embed(["a text-canary"])
        assert "canary" not in caplog.text

    def test_a_password_in_the_address_is_not_shown(self):
        shown = str(Server("embedding", "https://user:canary@models.example:8080/v1/", KEY))
        assert shown == "the embedding server https://models.example:8080/v1"

    def test_a_server_s_words_are_one_short_line(self):
        server = Server("embedding", NOBODY, KEY)
        assert server.masked("one\n two\x1b[31m") == "one two[31m"
        assert len(server.masked("word " * 1_000)) == 300
