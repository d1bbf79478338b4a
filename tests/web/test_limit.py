"""The time limit of requests, layer alone: one timer serves them all."""

import asyncio
from time import monotonic

import pytest
from starlette.types import Message, Receive, Scope, Send

from headrace.web.gate.limit import TimeLimit
from tests.waiting import pulsing

LIMIT_S = 0.2
SCOPE = {"type": "http", "method": "GET", "path": "/v1/jobs"}


class Requests:
    """Requests to an application that waits until it is released."""

    def __init__(self) -> None:
        self.released = asyncio.Event()
        self.limit = TimeLimit(self._wait, may_last=lambda _, path: path == "/", seconds=LIMIT_S)

    async def _wait(self, scope: Scope, _: Receive, send: Send) -> None:
        if scope["path"] == "/begun":
            await send({"type": "http.response.start", "status": 200, "headers": []})
        await self.released.wait()

    async def ask(self, path: str = "/v1/jobs") -> tuple[int | None, float, float]:
        """The status of the answer, and how long it took: by the clock, and as the loop lived."""
        told: list[Message] = []

        async def send(message: Message) -> None:
            told.append(message)

        async def receive() -> Message:
            return {"type": "http.disconnect"}

        async with pulsing() as pulse:
            began = monotonic()
            await self.limit({**SCOPE, "path": path}, receive, send)
            return (told[0]["status"] if told else None), monotonic() - began, pulse.seconds


class TestALateRequest:
    async def test_each_has_its_own_time_however_they_overlap(self):
        requests = Requests()
        first = asyncio.create_task(requests.ask())
        await asyncio.sleep(LIMIT_S / 2)
        second = asyncio.create_task(requests.ask())
        for status, seconds, lived in (await first, await second, await requests.ask()):
            assert status == 504
            assert seconds >= LIMIT_S * 0.9
            assert lived < LIMIT_S * 2

    async def test_one_that_was_answered_in_time_is_left_alone(self):
        requests = Requests()
        requests.released.set()
        assert (await requests.ask())[0] is None
        await asyncio.sleep(2 * LIMIT_S)  # in the same task: a late cancellation would end it

    async def test_one_that_may_last_has_no_limit(self):
        requests = Requests()
        asked = asyncio.create_task(requests.ask("/"))
        assert (await requests.ask())[0] == 504
        assert not asked.done()
        requests.released.set()
        await asked

    async def test_an_answer_that_has_begun_is_broken_off(self):
        with pytest.raises(TimeoutError):
            await Requests().ask("/begun")

    async def test_who_cancels_it_is_not_told_that_it_was_late(self):
        asked = asyncio.create_task(Requests().ask())
        await asyncio.sleep(0)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
