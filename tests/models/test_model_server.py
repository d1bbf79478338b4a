"""The fake server itself: OpenAI's own client understands it, and its faults are what they say."""

import json
from collections.abc import AsyncIterator
from typing import Literal

import openai
import pytest
from pydantic import BaseModel, Field

from headrace.testing import Fault, ModelFault, ModelServer


class Verdict(BaseModel):
    verdict: Literal["good", "bad"]
    confidence: float = Field(ge=0, le=1)
    reasons: list[str]


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with ModelServer() as server:
        yield server


@pytest.fixture
async def client(server: ModelServer) -> AsyncIterator[openai.AsyncOpenAI]:
    async with client_of(server) as client:
        yield client


def client_of(server: ModelServer) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(api_key="test-key", base_url=server.base_url, max_retries=0)


async def respond(client: openai.AsyncOpenAI, **more: object) -> openai.types.responses.Response:
    return await client.responses.parse(
        model="gpt-5.1", instructions="Judge.", input="A bridge", text_format=Verdict, **more
    )


async def chat(client: openai.AsyncOpenAI) -> openai.types.chat.ParsedChatCompletion[Verdict]:
    messages = [{"role": "system", "content": "Judge."}, {"role": "user", "content": "A bridge"}]
    return await client.chat.completions.parse(
        model="gpt-5.1", messages=messages, response_format=Verdict
    )


class TestProtocol:
    async def test_a_response_is_parsed_by_openai_s_client(
        self, server: ModelServer, client: openai.AsyncOpenAI
    ):
        answer = await respond(client, temperature=0.2)
        assert answer.output_parsed == Verdict(
            verdict="good", confidence=0.5, reasons=["Some words."]
        )
        assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens
        [call] = server.calls
        assert (call.path, call.instructions, call.text) == ("/v1/responses", "Judge.", "A bridge")
        assert (call.temperature, call.is_stream, call.is_paid) == (0.2, False, True)

    async def test_a_completion_is_parsed_by_openai_s_client(
        self, server: ModelServer, client: openai.AsyncOpenAI
    ):
        answer = await chat(client)
        assert answer.choices[0].message.parsed.verdict == "good"
        [call] = server.calls
        assert (call.path, call.instructions) == ("/v1/chat/completions", "Judge.")
        assert call.text == "A bridge"

    async def test_a_stream_comes_to_the_same(self, client: openai.AsyncOpenAI):
        async with client.responses.stream(
            model="gpt-5.1", input="A bridge", text_format=Verdict
        ) as stream:
            kinds = [event.type async for event in stream]
            answer = await stream.get_final_response()
        assert kinds[0] == "response.created"
        assert "response.output_text.delta" in kinds
        assert answer.output_parsed.verdict == "good"

    async def test_a_stream_of_chunks_comes_to_the_same(self, client: openai.AsyncOpenAI):
        async with client.chat.completions.stream(
            model="gpt-5.1",
            messages=[{"role": "user", "content": "A bridge"}],
            response_format=Verdict,
        ) as stream:
            answer = await stream.get_final_completion()
        assert answer.choices[0].message.parsed.verdict == "good"
        assert answer.usage.total_tokens > 0

    async def test_it_names_its_models(self, client: openai.AsyncOpenAI):
        assert [model.id async for model in client.models.list()] == ["gpt-5.1"]

    async def test_the_answer_is_what_the_test_gives(self):
        value = {"verdict": "bad", "confidence": 0.25, "reasons": []}
        async with (
            ModelServer(answer=lambda _call: value) as server,
            client_of(server) as client,
        ):
            assert (await respond(client)).output_parsed == Verdict.model_validate(value)

    async def test_an_older_server_has_no_responses(self):
        async with (
            ModelServer(paths=["/v1/chat/completions"]) as server,
            client_of(server) as client,
        ):
            with pytest.raises(openai.NotFoundError, match="Invalid URL"):
                await respond(client)
            assert (await chat(client)).choices[0].message.parsed is not None


class TestFaults:
    @pytest.mark.parametrize(
        ("fault", "status"),
        [
            (ModelFault.UNAUTHORIZED, 401),
            (ModelFault.FORBIDDEN, 403),
            (ModelFault.NO_MODEL, 404),
            (ModelFault.BAD_REQUEST, 400),
            (ModelFault.OVERLOADED, 529),
            (ModelFault.BUSY_UNTIL, 429),
            (Fault.NO_QUOTA, 429),
        ],
    )
    async def test_those_of_a_status_have_it(
        self, server: ModelServer, client: openai.AsyncOpenAI, fault: ModelFault, status: int
    ):
        server.fail_next(fault)
        with pytest.raises(openai.APIStatusError) as info:
            await respond(client)
        assert info.value.status_code == server.calls[0].status == status
        assert server.paid == []

    async def test_an_aimed_one_meets_only_who_says_the_words(
        self, server: ModelServer, client: openai.AsyncOpenAI
    ):
        server.fail_next(ModelFault.REFUSAL, to="Second")
        for words in ("First", "Second", "Second"):
            await client.responses.create(model="gpt-5.1", input=words)
        assert [call.fault for call in server.calls] == [None, ModelFault.REFUSAL, None]

    @pytest.mark.parametrize("is_chat", [False, True])
    async def test_a_cut_answer_says_so(
        self, server: ModelServer, client: openai.AsyncOpenAI, *, is_chat: bool
    ):
        server.fail_next(ModelFault.CUT_OFF)
        if is_chat:
            with pytest.raises(openai.LengthFinishReasonError):
                await chat(client)
        else:
            answer = await client.responses.create(model="gpt-5.1", input="A bridge")
            assert answer.status == "incomplete"
            assert answer.incomplete_details.reason == "max_output_tokens"

    async def test_a_large_answer_is_10_mb(self, server: ModelServer, client: openai.AsyncOpenAI):
        server.fail_next(ModelFault.LARGE)
        assert len((await respond(client)).output_text) > 10_000_000


class TestKeptAnswers:
    async def test_the_key_of_an_answer_gets_it_again_unpaid(self):
        async with (
            ModelServer(keeps_answers=True) as server,
            client_of(server) as client,
        ):
            first, second, third = [
                await respond(client, extra_headers={"Idempotency-Key": key})
                for key in ("one", "one", "two")
            ]
        assert first.id == second.id != third.id
        assert [call.is_replay for call in server.calls] == [False, True, False]
        assert len(server.paid) == 2

    async def test_an_answer_that_failed_is_not_kept(self):
        async with (
            ModelServer(keeps_answers=True) as server,
            client_of(server) as client,
        ):
            server.fail_next(ModelFault.NOT_JSON)
            key = {"Idempotency-Key": "one"}
            bad = await client.responses.create(model="gpt-5.1", input="a", extra_headers=key)
            assert not bad.output_text.startswith("{")
            good = await respond(client, extra_headers=key)
        assert json.loads(good.output_text)["verdict"] == "good"
