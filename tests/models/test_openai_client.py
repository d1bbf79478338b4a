"""The client of OpenAI's protocols, against a real server with every fault."""

import logging
import traceback
from datetime import timedelta
from enum import StrEnum

import pytest

from headrace.pipelines.consensus.errors import ModelClientError
from headrace.pipelines.consensus.model import ModelClient, ModelRefusedError
from headrace.pipelines.consensus.model_errors import (
    ModelAnswerError,
    ModelAuthError,
    ModelBusyError,
    ModelConnectionError,
    ModelQuotaError,
    ModelRefusalError,
    ModelRequestError,
    ModelServiceError,
    ModelTimeoutError,
    Told,
)
from headrace.pipelines.consensus.openai_client import open_openai
from headrace.pipelines.consensus.settings import ConsensusSettings
from headrace.testing import Fault, ModelFault, ModelServer
from headrace.testing.model_server import CHAT, RESPONSES
from tests.models.asking import GOOD, KEY, PROMPT, Grade, ask_once, failure_of, model_of, question


class TestAnswer:
    async def test_it_is_a_value_of_the_schema_with_what_it_took(
        self, model: ModelClient, server: ModelServer
    ):
        answer = await model.ask(question())
        assert answer.value == Grade(**GOOD)
        assert (answer.client, answer.model, answer.turns) == ("openai", "gpt-5.1", 1)
        assert answer.tokens.total == answer.tokens.input + answer.tokens.output > 0
        assert answer.latency_ms > 0
        assert answer.temperature == 0.2
        assert answer.request_id.startswith(("resp_", "chatcmpl-"))
        assert len(server.paid) == 1

    async def test_instructions_and_the_words_of_others_are_apart(
        self, model: ModelClient, server: ModelServer
    ):
        await model.ask(question())
        [call] = server.paid
        assert call.instructions == f"You are a judge.\n\nJudge. {PROMPT}"
        assert call.text == f"A bridge. {PROMPT}"
        assert call.schema["required"] == ["verdict", "confidence", "reasons"]
        assert call.schema["additionalProperties"] is False
        assert call.idempotency_key == "key-1"

    async def test_a_server_that_takes_no_temperature_is_asked_without_from_then_on(self):
        async with ModelServer(
            answer=lambda _call: GOOD, api_key=KEY, takes_temperature=False
        ) as server:
            model = model_of(server)
            answers = [await model.ask(question()) for _ in range(2)]
            await model.aclose()
        assert [answer.temperature for answer in answers] == [None, None]
        assert [call.temperature for call in server.calls] == [0.2, None, None]

    async def test_a_server_without_responses_is_asked_for_completions_from_then_on(self):
        async with ModelServer(answer=lambda _call: GOOD, api_key=KEY, paths=[CHAT]) as server:
            model = model_of(server)
            answers = [await model.ask(question()) for _ in range(2)]
            await model.aclose()
        assert [answer.value.verdict for answer in answers] == ["good", "good"]
        assert [call.path for call in server.calls] == [CHAT, CHAT]
        assert server.strays == [("POST", RESPONSES)]

    async def test_a_server_without_schemas_is_told_the_schema_in_words(self):
        async with ModelServer(
            answer=lambda _call: GOOD, api_key=KEY, paths=[CHAT], takes_schema=False
        ) as server:
            answer = await ask_once(server)
        assert answer.value.verdict == "good"
        assert [call.status for call in server.calls] == [400, 200]
        assert '"confidence"' in server.calls[1].instructions


class TestBadAnswers:
    """L1: what is no answer to the question is asked for once more, then it is over."""

    @pytest.mark.parametrize(
        ("fault", "said"),
        [
            (ModelFault.NOT_JSON, "does not fit Grade: it: Invalid JSON"),
            (ModelFault.EMPTY, "does not fit Grade: it is empty"),
            (ModelFault.WRONG_TYPES, "does not fit Grade: verdict: Input should be a valid string"),
            (ModelFault.OUT_OF_RANGE, "does not fit Grade: verdict: String should match pattern"),
            (ModelFault.CUT_OFF, "was cut off at its limit of tokens"),
        ],
    )
    async def test_a_second_one_may_fit_and_two_bad_ones_are_final(
        self, model: ModelClient, server: ModelServer, fault: ModelFault, said: str
    ):
        server.fail_next(fault)
        answer = await model.ask(question())
        assert (answer.value, answer.turns) == (Grade(**GOOD), 2)
        assert [call.idempotency_key for call in server.paid] == ["key-1", "key-1:2"]

        server.fail_next(fault, times=2)
        error = await failure_of(model)
        assert isinstance(error, ModelAnswerError)
        assert said in str(error)
        assert (error.took.turns, error.code) == (2, "LLM_ANSWER_INVALID")
        assert f"(it used {error.took.tokens.total} tokens)" in str(error)
        assert error.took.tokens.total > 0
        assert len(server.paid) == 4

    async def test_the_model_is_told_what_is_wrong(self, plain: ModelServer):
        plain.fail_next(ModelFault.OUT_OF_RANGE)
        await ask_once(plain)
        again = plain.calls[1].text
        assert "confidence: Input should be less than or equal to 1" in again
        assert '"confidence": 1000000000.0' in again, "its own answer"

    async def test_sentences_around_good_json_cost_no_second_turn(
        self, model: ModelClient, server: ModelServer
    ):
        server.fail_next(ModelFault.PROSE)
        assert (await model.ask(question())).turns == 1


class TestRefusals:
    """L2: a refusal is an outcome of its own."""

    @pytest.mark.parametrize(
        ("fault", "said"),
        [
            (ModelFault.REFUSAL, "the model refused: I cannot help with that."),
            (ModelFault.FILTERED, "a filter stopped the answer"),
        ],
    )
    async def test_it_is_final_and_nothing_is_asked_again(
        self, model: ModelClient, server: ModelServer, fault: ModelFault, said: str
    ):
        server.fail_next(fault)
        error = await failure_of(model)
        assert isinstance(error, ModelRefusalError)
        assert error.code == "LLM_REFUSED"
        assert said in str(error)
        assert error.took.tokens.total > 0
        assert len(server.paid) == 1


class TestBusyServer:
    """L3: a busy server is left alone as long as it asks; without money it is not asked again."""

    @pytest.mark.parametrize(
        ("fault", "least_s", "most_s"),
        [
            (Fault.RATE_LIMITED, 2, 2),
            (ModelFault.BUSY_UNTIL, 25, 30),
            (ModelFault.BUSY_FOR_DAYS, 3_600, 3_600),
            (ModelFault.BUSY_SILENTLY, 10, 10),
        ],
    )
    async def test_the_step_waits_as_long_as_it_asks_but_an_hour_at_most(
        self, plain: ModelServer, fault: StrEnum, least_s: float, most_s: float
    ):
        plain.fail_next(fault)
        model = model_of(plain)
        error = await failure_of(model)
        await model.aclose()
        assert isinstance(error, ModelBusyError)
        assert least_s <= error.delay.total_seconds() <= most_s
        assert "answered 429 (Rate limit reached" in error.reason
        assert error.code == "LLM_RATE_LIMIT"

    @pytest.mark.parametrize(
        "fault", [Fault.UNAVAILABLE, Fault.SERVER_ERROR, Fault.TIMED_OUT, ModelFault.OVERLOADED]
    )
    async def test_a_fault_of_its_own_is_tried_again_by_the_step_not_by_the_client(
        self, plain: ModelServer, fault: StrEnum
    ):
        plain.fail_next(fault)
        model = model_of(plain)
        error = await failure_of(model)
        assert isinstance(error, ModelServiceError)
        assert error.code == "LLM_SERVICE_ERROR"
        assert len(plain.calls) == 1
        assert (await model.ask(question())).turns == 1
        await model.aclose()

    async def test_a_429_of_a_spent_account_is_final(self, plain: ModelServer):
        plain.fail_next(Fault.NO_QUOTA)
        with pytest.raises(ModelQuotaError, match="no quota left, check its plan and billing"):
            await ask_once(plain)


class TestBrokenAnswers:
    """L5: a part of an answer is no result, whatever came before the break."""

    @pytest.mark.parametrize(
        ("fault", "kind", "said"),
        [
            (ModelFault.FAILED, ModelServiceError, "failed while it answered (The server had an"),
            (Fault.RESET, ModelConnectionError, "broke its answer off"),
        ],
    )
    async def test_the_step_tries_again(
        self,
        model: ModelClient,
        server: ModelServer,
        fault: StrEnum,
        kind: type[Told],
        said: str,
    ):
        server.fail_next(fault)
        error = await failure_of(model)
        assert type(error) is kind
        assert said in str(error)
        assert (await model.ask(question())).value == Grade(**GOOD)

    async def test_a_stream_that_ends_without_an_end_is_none(
        self, model: ModelClient, server: ModelServer, way: tuple[str, bool]
    ):
        server.fail_next(ModelFault.BROKEN_STREAM)
        if way[1]:
            error = await failure_of(model)
            assert "sent no answer: the stream ended before the answer did" in str(error)
        else:  # half a text in a whole envelope is a bad answer
            assert (await model.ask(question())).turns == 2

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("fault", [Fault.HANG, Fault.DRIP])
    async def test_the_limit_holds_for_the_whole_answer(
        self, plain: ModelServer, fault: Fault, *, stream: bool
    ):
        plain.fail_next(fault)
        model = model_of(plain, llm_stream=stream)
        error = await failure_of(model, timeout=timedelta(seconds=0.4))
        await model.aclose()
        assert isinstance(error, ModelTimeoutError)
        assert error.code == "LLM_TIMEOUT"
        assert error.took.latency_ms > 300

    async def test_a_server_that_is_not_there_is_tried_again_by_the_step(self):
        settings = ConsensusSettings(openai_base_url="http://127.0.0.1:9/v1")
        error = await failure_of(open_openai(settings))
        assert isinstance(error, ModelConnectionError)
        assert "127.0.0.1:9/v1 cannot be reached: " in str(error)
        assert error.code == "LLM_CONNECTION_ERROR"


class TestHostileAnswers:
    """L7: what an answer says is data, however much of it there is."""

    async def test_10_mb_are_not_read_to_the_end(self, model: ModelClient, server: ModelServer):
        server.fail_next(ModelFault.LARGE)
        error = await failure_of(model)
        assert isinstance(error, ModelAnswerError)
        assert "sent more than 4,194,304 bytes" in str(error)
        assert len(str(error)) < 200

    async def test_nor_is_an_answer_without_end(self, plain: ModelServer):
        plain.fail_next(Fault.OVERSIZED)
        model = model_of(plain)
        assert isinstance(await failure_of(model), ModelAnswerError)
        await model.aclose()

    async def test_errors_show_nothing_of_what_a_wrong_answer_says(self, plain: ModelServer):
        plain.fail_next(ModelFault.NOT_JSON, times=2)
        model = model_of(plain)
        error = await failure_of(model)
        await model.aclose()
        assert "approve" not in "".join(traceback.format_exception(error))


class TestRefusedRequests:
    """L9: who may not ask, or asks for what is not there, is told so and not tried again."""

    @pytest.mark.parametrize(
        ("fault", "kind", "said"),
        [
            (ModelFault.UNAUTHORIZED, ModelAuthError, "answered 401 (The key has expired): check"),
            (ModelFault.FORBIDDEN, ModelAuthError, "key's project and permissions"),
            (ModelFault.NO_MODEL, ModelRequestError, "check the name of the model 'gpt-5.1'"),
            (ModelFault.BAD_REQUEST, ModelRequestError, "answered 400 (Something is wrong)"),
        ],
    )
    async def test_it_is_final(
        self,
        model: ModelClient,
        server: ModelServer,
        fault: ModelFault,
        kind: type[Told],
        said: str,
    ):
        server.fail_next(fault)
        error = await failure_of(model)
        assert type(error) is kind
        assert isinstance(error, ModelRefusedError)
        assert said in str(error)
        assert len(server.calls) == 1

    async def test_an_address_without_its_version_is_final(self, plain: ModelServer):
        address = plain.base_url.removesuffix("/v1")
        with pytest.raises(ModelRequestError, match="address ends with its version"):
            await ask_once(plain, openai_base_url=address)

    async def test_a_redirect_is_not_followed(self, plain: ModelServer):
        plain.fail_next(ModelFault.REDIRECT)
        with pytest.raises(ModelRequestError, match="answered 307"):
            await ask_once(plain)
        assert len(plain.calls) == 1


class TestSecrets:
    async def test_neither_key_nor_prompt_is_in_errors_or_logs(
        self, plain: ModelServer, caplog: pytest.LogCaptureFixture
    ):
        caplog.set_level(logging.DEBUG)
        plain.api_key = "another"
        model = model_of(plain)
        shown = []
        for fault in (None, Fault.RESET, Fault.UNAVAILABLE, ModelFault.NOT_JSON, Fault.HANG):
            if fault is not None:
                plain.api_key = KEY
                plain.fail_next(fault, times=2 if fault is ModelFault.NOT_JSON else 1)
            error = await failure_of(model, timeout=timedelta(seconds=0.6))
            shown.append("".join(traceback.format_exception(error)))
        await model.aclose()
        assert "Incorrect API key provided: ***" in shown[0]
        everything = "".join(shown)
        assert "canary" not in everything
        assert "canary" not in caplog.text

    async def test_a_server_of_one_s_own_may_need_no_key_and_never_gets_openai_s(
        self, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        async with ModelServer(answer=lambda _call: GOOD, api_key="none") as server:
            assert (await ask_once(server, openai_api_key=None)).value.verdict == "good"

    @pytest.mark.parametrize("key", ["", "sk-...", "your-api-key"])
    def test_openai_s_own_server_needs_a_key(self, monkeypatch: pytest.MonkeyPatch, key: str):
        monkeypatch.setenv("OPENAI_API_KEY", key)
        with pytest.raises(ModelClientError, match="needs an API key: set OPENAI_API_KEY"):
            open_openai(ConsensusSettings())
