"""What is read from HTTP 429, whatever client brings it."""

from __future__ import annotations

from datetime import timedelta

import httpx2
import openai
import pytest
import requests

from headrace.reliability.refusals import asked_wait, is_refused, read_wait

NOW = "Wed, 21 Oct 2026 07:28:00 GMT"
SOON = "Wed, 21 Oct 2026 07:28:30 GMT"


def answer(status: int = 429, body: object = None, **headers: str) -> httpx2.Response:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return httpx2.Response(
        status, json=body, headers=named, request=httpx2.Request("POST", "http://service/")
    )


def of_httpx(**headers: str) -> Exception:
    with pytest.raises(httpx2.HTTPStatusError) as raised:
        answer(**headers).raise_for_status()
    return raised.value


def of_openai(code: str = "rate_limit_exceeded", **headers: str) -> Exception:
    body = {"message": "slow down", "type": code, "code": code}
    return openai.RateLimitError("slow down", response=answer(**headers), body=body)


def of_requests(**headers: str) -> Exception:
    response = requests.Response()
    response.status_code = 429
    response.headers.update({name.replace("_", "-"): text for name, text in headers.items()})
    return requests.HTTPError(response=response)


class AiohttpError(Exception):
    """As aiohttp's `ClientResponseError`: status and headers of its own."""

    def __init__(self, status: int, headers: dict[str, str]) -> None:
        super().__init__(status)
        self.status, self.headers = status, headers


class TestWhatIsA429:
    @pytest.mark.parametrize(
        "error",
        [
            of_httpx(retry_after="7"),
            of_openai(retry_after="7"),
            of_requests(retry_after="7"),
            AiohttpError(429, {"Retry-After": "7"}),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_the_errors_of_clients_are_known_by_their_shape(self, error: Exception):
        assert is_refused(error)
        assert asked_wait(error) == timedelta(seconds=7)

    @pytest.mark.parametrize(
        "error",
        [
            ValueError("429"),
            AiohttpError(503, {"Retry-After": "7"}),
            of_openai("insufficient_quota"),
            of_openai("billing_hard_limit_reached"),
        ],
    )
    def test_other_errors_and_used_up_accounts_are_none(self, error: Exception):
        assert not is_refused(error)


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("asked", "seconds"),
        [
            (0, 0),
            (2.5, 2.5),
            (timedelta(minutes=2), 120),
            ("30", 30),
            (" 1.5 ", 1.5),
            ("3601", 3_600),
            ("1e300", 3_600),
            ("inf", 3_600),
            ("nan", 0),
            ("-5", 0),
            ("soon", 0),
            ("", 0),
            (None, 0),
            (True, 0),
            (float("nan"), 0),
            (10**400, 0),
            ("Wed, 21 Oct 1926 07:28:00 GMT", 0),
            ("Wed, 21 Oct 9026 07:28:00 GMT", 3_600),
            ("Wed, 99 Oct 2026 07:28:00 GMT", 0),
        ],
    )
    def test_it_is_seconds_or_a_date_of_an_hour_at_most(self, asked: object, seconds: float):
        assert read_wait(asked).total_seconds() == seconds

    def test_a_date_is_read_by_the_services_own_clock(self):
        assert asked_wait(of_httpx(retry_after=SOON, date=NOW)) == timedelta(seconds=30)

    def test_milliseconds_go_before(self):
        error = of_openai(retry_after_ms="1500", retry_after="2")
        assert asked_wait(error) == timedelta(seconds=1.5)

    def test_without_one_nothing_is_asked(self):
        assert asked_wait(of_openai()) == timedelta()
        assert asked_wait(AiohttpError(429, {})) == timedelta()
