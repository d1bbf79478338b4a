"""OpenAI's models, or those of any server that speaks one of its protocols.

Imported only when it is opened: the client takes half a second to import.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Final

import openai

from headrace.errors import BreakerOpenError, RateLimitedError
from headrace.pipelines.consensus.errors import ModelClientError
from headrace.pipelines.consensus.model import Answer, AnswerT, ModelRequest
from headrace.pipelines.consensus.model_errors import (
    ModelAnswerError,
    ModelBusyError,
    ModelTimeoutError,
    Told,
    Took,
)
from headrace.pipelines.consensus.openai_forms import (
    Form,
    Turn,
    arguments,
    first_message,
    next_form,
    refuses_temperature,
)
from headrace.pipelines.consensus.openai_guards import Guards, Meter, NoGuards
from headrace.pipelines.consensus.openai_reading import Said, read_answer
from headrace.pipelines.consensus.openai_repair import Unfit, read_value
from headrace.pipelines.consensus.openai_steering import (
    FAILURES,
    BrokenError,
    OutageError,
    check_failure,
    check_refusal,
    meaning,
    through_guards,
)
from headrace.pipelines.consensus.settings import ConsensusSettings, is_placeholder
from headrace.pipelines.openai_servers import Server, keep_requests_out_of_logs

NAME: Final = "openai"
TURNS: Final = 2
BYTES_A_TOKEN: Final = 3
"""Never fewer tokens than there are, by o200k, in English, German, Chinese, code or JSON."""
USUAL_ANSWER: Final = 2_000
"""Tokens that are reserved for an answer; what it took is settled afterwards."""


class OpenAIModel:
    """Calls `POST {base_url}/responses`, or `/chat/completions` where a server has only that.

    Args:
        client: Makes no tries of its own.
        server: Its name in errors.
        guards: Around each call.
        most_tokens: Of an answer.
        stream: Whether answers are asked for as streams.
    """

    name = NAME

    def __init__(
        self,
        client: openai.AsyncOpenAI,
        server: Server,
        *,
        guards: Guards,
        most_tokens: int,
        stream: bool,
    ) -> None:
        """Use `open_openai`."""
        self._client, self._server, self._guards = client, server, guards
        self._most_tokens, self._stream = most_tokens, stream
        self._form = Form.RESPONSES
        self._without_temperature: set[str] = set()

    async def ask(self, request: ModelRequest[AnswerT]) -> Answer[AnswerT]:
        """Ask, and once more where the first answer does not fit or is cut off.

        Raises:
            ModelUnavailableError: The server failed, was not reached, or took too long.
            ModelBusyError: It answered with status 429.
            ModelRefusedError: Another try cannot help; its kinds are in `model_errors`.
            BreakerOpenError: Too many calls failed, of all workers.
            RateLimitedError: The limit of all workers has no room now.
            BudgetExhaustedError: A budget has not so much left.
        """
        started_at, begun = datetime.now(UTC), monotonic()
        took = Took()
        messages, problem = first_message(request), ""
        try:
            for number in range(1, TURNS + 1):
                key = request.idempotency_key + (f":{number}" if number > 1 else "")
                left_s = request.timeout.total_seconds() - (monotonic() - begun)
                said = await self._turn(Turn(request, messages, key, left_s))
                took = took.more(said.tokens, said.id and self._server.masked(said.id))
                check_refusal(said, self._server)
                value = read_value(request, said)
                if not isinstance(value, Unfit):
                    return self._answer(request, value, said, _timed(took, begun), started_at)
                messages, problem = [*first_message(request), *value.repair], value.problem
        except Told as error:
            error.took = _timed(took, begun)
            raise
        unfit = ModelAnswerError(f"{self._server}: {problem}, also when it was asked again")
        unfit.took = _timed(took, begun)
        raise unfit

    async def aclose(self) -> None:
        """Close its connections."""
        await self._client.close()

    def _answer(
        self,
        request: ModelRequest[AnswerT],
        value: AnswerT,
        said: Said,
        took: Took,
        started_at: datetime,
    ) -> Answer[AnswerT]:
        is_plain = request.model in self._without_temperature
        return Answer(
            value=value,
            client=NAME,
            model=self._server.masked(said.model or "") or request.model,
            temperature=None if is_plain else request.temperature,
            request_id=took.request_id or request.request_id,
            tokens=took.tokens,
            latency_ms=took.latency_ms,
            turns=took.turns,
            started_at=started_at,
        )

    # --- one turn ---------------------------------------------------------------------------------

    async def _turn(self, turn: Turn) -> Said:
        """One answer, through the guards, each of which sees what is its own."""
        if turn.timeout_s <= 0:
            raise ModelTimeoutError(f"{self._server}: no time was left to ask again")
        estimate = turn.input_bytes // BYTES_A_TOKEN + min(USUAL_ANSWER, self._most_tokens)
        try:
            async with self._guards.call(estimate) as meter:
                try:
                    return await self._send(turn, meter)
                except FAILURES as error:
                    if isinstance(error, openai.APIStatusError):
                        meter.settle(tokens=0)  # no server takes money for these
                    # From None: the client's errors carry the request with its key.
                    raise through_guards(error, turn, self._server) from None
        except OutageError as error:
            raise error.means from None
        except BreakerOpenError as error:
            raise error from None
        except openai.RateLimitError as error:  # nothing guards
            raise meaning(error, turn, self._server) from None
        except RateLimitedError as error:
            raise self._busy(error, turn) from None

    def _busy(self, error: RateLimitedError, turn: Turn) -> Exception:
        """Our own limit has no room, or the server said that its own has none."""
        if not isinstance(error.__cause__, openai.RateLimitError):
            return error
        said = meaning(error.__cause__, turn, self._server)
        if not isinstance(said, ModelBusyError):
            return said
        return ModelBusyError(max(said.delay, error.retry_after), said.reason)

    async def _send(self, turn: Turn, meter: Meter) -> Said:
        """Ask in the form that the server knows; what it does not know costs nothing."""
        form, requests = self._form, 0
        async with asyncio.timeout(turn.timeout_s):
            while True:
                requests += 1
                meter.settle(requests=requests)
                try:
                    said = await self._call(turn, form)
                except openai.APIStatusError as error:
                    other = self._after_refusal(error, form, turn)
                    if other is None:
                        raise
                    form = other
                    continue
                self._form = form
                if said.tokens.total:
                    meter.settle(tokens=said.tokens.total)
                check_failure(said, self._server)
                return said

    def _after_refusal(self, error: openai.APIStatusError, form: Form, turn: Turn) -> Form | None:
        """In which form to ask again at once; None where the refusal stands."""
        model = turn.request.model
        if refuses_temperature(error.status_code, error.body):
            if model in self._without_temperature:
                return None
            self._without_temperature.add(model)
            return form
        return next_form(form, error.status_code, error.body)

    async def _call(self, turn: Turn, form: Form) -> Said:
        given = arguments(turn, form, most_tokens=self._most_tokens, stream=self._stream)
        if turn.request.model not in self._without_temperature:
            given["temperature"] = turn.request.temperature
        is_chat = form is not Form.RESPONSES
        api: Any = self._client.chat.completions if is_chat else self._client.responses
        async with api.with_streaming_response.create(**given) as response:
            content_type = response.headers.get("content-type", "")
            return await read_answer(_pieces(response), content_type, is_chat=is_chat)


async def _pieces(response: Any) -> AsyncIterator[bytes]:  # noqa: ANN401 - of a class that is not public
    try:
        async for piece in response.iter_bytes():
            yield piece
    except Exception as error:  # noqa: BLE001 - those of httpx, or of httpx2: it depends on openai's version
        raise BrokenError(type(error).__name__) from None


def _timed(took: Took, begun: float) -> Took:
    return replace(took, latency_ms=(monotonic() - begun) * 1_000)


# --- opening --------------------------------------------------------------------------------------


def open_openai(settings: ConsensusSettings, guards: Guards | None = None) -> OpenAIModel:
    """A client of the server; nothing is sent yet.

    Args:
        settings: Which server, and how it is asked.
        guards: Around each call; none if left out.

    Raises:
        ModelClientError: There is no key for OpenAI's own server, or the address is none.
    """
    key = _key_of(settings)
    keep_requests_out_of_logs()
    try:
        client = openai.AsyncOpenAI(
            api_key=key,
            base_url=settings.openai_base_url,
            max_retries=0,
            timeout=settings.llm_timeout_s,
            # A key must not follow wherever a server points.
            http_client=openai.DefaultAsyncHttpxClient(follow_redirects=False),
        )
    except (openai.OpenAIError, ValueError) as error:
        raise ModelClientError(f"the client openai cannot be opened: {error}") from None
    return OpenAIModel(
        client,
        Server("model", str(client.base_url), key),
        guards=guards or NoGuards(),
        most_tokens=settings.llm_max_output_tokens,
        stream=settings.llm_stream,
    )


def _key_of(settings: ConsensusSettings) -> str:
    if settings.openai_api_key is not None:
        return settings.openai_api_key.get_secret_value()
    if settings.openai_base_url is not None:
        return "none"  # many servers of one's own ask for none; OpenAI's key is not for them
    key = os.environ.get("OPENAI_API_KEY", "")
    if is_placeholder(key):
        raise ModelClientError(
            "the client openai needs an API key: set OPENAI_API_KEY or "
            "HEADRACE_CONSENSUS_OPENAI_API_KEY, or HEADRACE_CONSENSUS_OPENAI_BASE_URL to the "
            "address of a server that needs none"
        )
    return key
