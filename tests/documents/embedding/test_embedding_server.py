"""The fake server itself: it speaks the protocol, over real sockets."""

import base64
import json
import socket
import struct
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from headrace.testing import EmbeddingCall, EmbeddingServer, Fault, VectorFault
from headrace.testing.embedding_server import hash_vector
from tests.waiting import eventually

MODEL = "text-embedding-3-small"
BODY = json.dumps({"model": MODEL, "input": "a"})
REQUEST = (
    f"POST /v1/embeddings HTTP/1.1\r\nContent-Length: {len(BODY)}\r\n"
    f"Authorization: Bearer test-key\r\n\r\n{BODY}"
).encode()


@pytest.fixture
def server() -> Iterator[EmbeddingServer]:
    with EmbeddingServer(dimension=8) as server:
        yield server


def post(
    server: EmbeddingServer,
    data: object,
    *,
    key: str | None = "test-key",
    path: str = "/embeddings",
) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Status, body and headers of an answer."""
    headers = {"Content-Type": "application/json"}
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    request = urllib.request.Request(f"{server.base_url}{path}", body, headers)  # noqa: S310 - ours
    try:
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - ours
            return response.status, json.load(response), dict(response.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error), dict(error.headers)


class TestProtocol:
    def test_vectors_come_as_floats_in_order_with_usage(self, server: EmbeddingServer):
        status, answer, _ = post(server, {"model": MODEL, "input": ["one", "three"]})
        assert status == 200
        assert answer["data"] == [
            {"object": "embedding", "index": 0, "embedding": hash_vector("one", 8)},
            {"object": "embedding", "index": 1, "embedding": hash_vector("three", 8)},
        ]
        assert (answer["object"], answer["model"]) == ("list", MODEL)
        assert answer["usage"] == {"prompt_tokens": 3, "total_tokens": 3}

    def test_one_text_need_not_be_in_a_list(self, server: EmbeddingServer):
        _, answer, _ = post(server, {"model": MODEL, "input": "one"})
        assert [row["embedding"] for row in answer["data"]] == [hash_vector("one", 8)]

    def test_base64_holds_the_same_numbers(self, server: EmbeddingServer):
        data = {"model": MODEL, "input": "one", "encoding_format": "base64"}
        _, answer, _ = post(server, data)
        numbers = struct.unpack("<8f", base64.b64decode(answer["data"][0]["embedding"]))
        assert numbers == pytest.approx(hash_vector("one", 8), abs=1e-6)

    def test_shorter_vectors_can_be_asked_for(self, server: EmbeddingServer):
        _, answer, _ = post(server, {"model": MODEL, "input": "one", "dimensions": 3})
        assert len(answer["data"][0]["embedding"]) == 3

    @pytest.mark.parametrize(
        ("data", "status", "code"),
        [
            (b"{", 400, "invalid_json"),
            (b"[]", 400, "invalid_json"),
            ({"model": MODEL}, 400, "invalid_request_error"),
            ({"model": MODEL, "input": []}, 400, "invalid_request_error"),
            ({"model": MODEL, "input": ["a", ""]}, 400, "invalid_request_error"),
            ({"model": MODEL, "input": ["a"] * 257}, 400, "invalid_request_error"),
            ({"model": MODEL, "input": "a", "dimensions": 9}, 400, "invalid_request_error"),
            ({"model": MODEL, "input": "a", "encoding_format": "x"}, 400, "invalid_request_error"),
            ({"model": "gpt-9", "input": "a"}, 404, "model_not_found"),
        ],
    )
    def test_what_it_refuses_has_the_form_of_openai_s_errors(
        self, server: EmbeddingServer, data: object, status: int, code: str
    ):
        found, answer, _ = post(server, data)
        assert (found, answer["error"]["code"]) == (status, code)
        assert set(answer["error"]) == {"message", "type", "param", "code"}
        assert server.embedded == []

    def test_256_texts_are_accepted(self, server: EmbeddingServer):
        status, answer, _ = post(server, {"model": MODEL, "input": ["a"] * 256})
        assert (status, len(answer["data"])) == (200, 256)

    @pytest.mark.parametrize("key", [None, "another"])
    def test_a_wrong_key_is_refused(self, server: EmbeddingServer, key: str | None):
        status, answer, _ = post(server, {"model": MODEL, "input": "a"}, key=key)
        assert (status, answer["error"]["code"]) == (401, "invalid_api_key")

    def test_without_a_key_everybody_is_answered(self):
        with EmbeddingServer(api_key=None, dimension=8) as server:
            assert post(server, {"model": MODEL, "input": "a"}, key=None)[0] == 200

    def test_other_paths_do_not_exist(self, server: EmbeddingServer):
        assert post(server, {"model": MODEL, "input": "a"}, path="/chat")[0] == 404


class TestRateLimit:
    def test_more_requests_in_a_second_are_refused_until_it_is_over(self):
        now = [100.0]
        with EmbeddingServer(requests_per_second=2, clock=lambda: now[0]) as server:
            data = {"model": MODEL, "input": "a"}
            assert [post(server, data)[0] for _ in range(2)] == [200, 200]
            now[0] += 0.75
            status, answer, headers = post(server, data)
            assert (status, answer["error"]["code"]) == (429, "rate_limit_exceeded")
            assert (headers["retry-after"], headers["retry-after-ms"]) == ("1", "250")
            now[0] += 0.5
            assert post(server, data)[0] == 200


class TestLog:
    def test_it_holds_every_request_with_its_answer(self, server: EmbeddingServer):
        server.fail_next(Fault.UNAVAILABLE)
        server.fail_next(VectorFault.SHUFFLED)
        for text in ("one", "two", "three"):
            post(server, {"model": MODEL, "input": text})
        post(server, {"model": MODEL, "input": ["four"]}, key="another")
        assert server.calls == [
            EmbeddingCall(("one",), 503, Fault.UNAVAILABLE),
            EmbeddingCall(("two",), 200, VectorFault.SHUFFLED),
            EmbeddingCall(("three",), 200, None),
            EmbeddingCall(("four",), 401, None),
        ]
        assert server.embedded == ["two", "three"]

    def test_a_fault_is_met_as_often_as_it_is_asked_for(self, server: EmbeddingServer):
        server.fail_next(Fault.SERVER_ERROR, times=2)
        found = [post(server, {"model": MODEL, "input": "a"})[0] for _ in range(3)]
        assert found == [500, 500, 200]


class TestReset:
    def test_the_connection_is_reset_in_the_middle_of_the_answer(self, server: EmbeddingServer):
        server.fail_next(Fault.RESET)
        with socket.create_connection(("127.0.0.1", port_of(server))) as caller:
            caller.sendall(REQUEST)
            with pytest.raises(ConnectionResetError), caller.makefile("rb") as answer:
                answer.read()


class TestEnd:
    async def test_it_leaves_no_thread_behind_a_hanging_caller(self):
        before = threading.active_count()
        with EmbeddingServer() as server:
            server.fail_next(Fault.HANG)
            caller = socket.create_connection(("127.0.0.1", port_of(server)))
            idle = socket.create_connection(("127.0.0.1", port_of(server)))
            caller.sendall(REQUEST)
            await eventually(lambda: server.calls)
        with caller, idle:
            assert caller.recv(1) == b""
        assert threading.active_count() == before

    async def test_it_is_an_async_context_manager_too(self):
        async with EmbeddingServer() as server:
            assert server.base_url.startswith("http://127.0.0.1:")
        with pytest.raises(RuntimeError, match="with"):
            _ = server.base_url


def port_of(server: EmbeddingServer) -> int:
    return int(server.base_url.split(":")[2].removesuffix("/v1"))
