"""`Idempotency-Key` on every POST that is no submission."""

import asyncio
from datetime import timedelta

import httpx2
import pytest
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute

from headrace.store.requests import prune_requests
from headrace.web.answers import json_response
from headrace.web.app import create_api
from headrace.web.auth.depends import Writer
from headrace.web.idempotency import KeyedRoute
from headrace.web.problems import ProblemError
from headrace.web.routes import submission
from tests.waiting import eventually
from tests.web.asking import submit
from tests.web.serving import Api, serve, who
from tests.web.whole import DOCUMENTED

KEY = {"Idempotency-Key": "case 1"}
SECRET_ANSWERS: frozenset[str] = frozenset(
    {
        "/v1/admin/api-keys",
        "/v1/admin/inbox-sources",
        "/v1/admin/inbox-sources/{source}/rotate",
        "/v1/webhooks",
        "/v1/webhooks/{webhook_id}/rotate",
        "/v1/documents/uploads",
        "/v1/webhooks/{provider}",
    }
)
"""POSTs whose answers must not be kept; a parser's callback has a nonce of its own."""
WITH_THEIR_JOB = frozenset(
    {
        submission.ROUTE.path,
        "/v1/consensus/reviews",
        "/v1/consensus/expand",
        "/v1/consensus/review",
        "/v1/jobs/{job_id}/revisions",
    }
)
"""Their key is stored in the job's row."""


class Counter:
    """A route whose effect can be counted, and held up."""

    def __init__(self) -> None:
        self.effects = 0
        self.status = 200
        self.gate = asyncio.Event()
        self.gate.set()
        self.router = APIRouter(route_class=KeyedRoute)
        self.router.add_api_route("/v1/count", self.count, methods=["POST"])

    async def count(self, request: Request, identity: Writer) -> Response:
        self.effects += 1
        effect = self.effects
        await self.gate.wait()
        if self.status >= 400:
            raise ProblemError("CONFLICT" if self.status < 500 else "UNAVAILABLE")
        assert identity.tenant
        return json_response({"effect": effect}, headers={"Location": request.url.path})


@pytest.fixture
def counter() -> Counter:
    return Counter()


async def post(client: httpx2.AsyncClient, **more: object) -> httpx2.Response:
    return await client.post("/v1/count", headers=KEY, **more)  # type: ignore[arg-type]


class TestAKey:
    """A7: it stands for one effect."""

    @pytest.fixture
    async def counting(self, api: Api, counter: Counter):
        made = create_api(api.engine.app)
        made.include_router(counter.router)
        async with serve(api.engine, made=made) as running:
            yield running

    async def test_the_first_answer_comes_again(self, counting: Api, counter: Counter):
        client = await counting.client()
        first, again = await post(client, json={"a": 1}), await post(client, json={"a": 1})
        assert first.json() == again.json() == {"effect": 1}
        assert again.headers["Idempotent-Replay"] == "true"
        assert again.headers["Location"] == "/v1/count"
        assert "Idempotent-Replay" not in first.headers
        assert counter.effects == 1

    async def test_another_body_or_path_is_refused(self, counting: Api, counter: Counter):
        client = await counting.client()
        await post(client, json={"a": 1})
        others = [
            await post(client, json={"a": 2}),
            await post(client),
            await client.post("/v1/count?b=1", headers=KEY, json={"a": 1}),
        ]
        for answer in others:
            assert (answer.status_code, answer.json()["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
        assert counter.effects == 1

    async def test_it_is_the_callers_own(self, counting: Api, counter: Counter):
        for user in (who(), who("acme", "bob"), who("globex", "ann")):
            await post(await counting.client(user))
        assert counter.effects == 3
        refused = await post(await counting.stranger())
        assert refused.status_code == 401

    async def test_one_that_is_being_served_is_a_conflict(self, counting: Api, counter: Counter):
        client = await counting.client()
        counter.gate.clear()
        held = asyncio.create_task(post(client))
        await eventually(lambda: counter.effects)
        busy = await post(client)
        assert (busy.status_code, busy.headers["Retry-After"]) == (409, "1")
        counter.gate.set()
        assert (await held).json() == {"effect": 1}

    async def test_refusals_are_kept_and_our_failures_are_not(
        self, counting: Api, counter: Counter
    ):
        client = await counting.client()
        counter.status = 503
        assert (await post(client)).status_code == 503
        counter.status = 409
        assert (await post(client)).status_code == 409
        counter.status = 200
        again = await post(client)
        assert (again.status_code, again.headers["Idempotent-Replay"]) == (409, "true")
        assert counter.effects == 2

    async def test_it_is_free_again_after_a_day(self, counting: Api):
        client = await counting.client()
        await post(client)
        await counting.engine.move_clock(timedelta(hours=25))
        async with counting.engine.connection() as connection:
            assert await prune_requests(connection) == 1
        assert (await post(client, json={"b": 1})).json() == {"effect": 2}
        await counting.engine.move_clock(timedelta(hours=25))
        assert (await post(client, json={"c": 1})).json() == {"effect": 3}

    async def test_one_whose_server_died_can_be_sent_again(self, counting: Api, counter: Counter):
        client = await counting.client()
        counter.gate.clear()
        held = asyncio.create_task(post(client))
        await eventually(lambda: counter.effects)
        await counting.engine.move_clock(timedelta(minutes=6))
        second = asyncio.create_task(post(client))
        await eventually(lambda: counter.effects == 2)
        counter.gate.set()
        assert [(await task).json()["effect"] for task in (held, second)] == [1, 2]
        assert (await post(client)).json() == {"effect": 2}


class TestEveryPost:
    def test_it_takes_a_key(self):
        """A new route cannot be forgotten."""
        posts = [
            route
            for route in _routes(DOCUMENTED)
            if "POST" in (route.methods or ()) and route.path.startswith("/v1/")
        ]
        assert posts
        for route in posts:
            is_keyed = isinstance(route, KeyedRoute) or route.path in WITH_THEIR_JOB
            assert is_keyed or route.path in SECRET_ANSWERS, route.path

    async def test_a_cancel_is_answered_again(self, api: Api):
        job, client = await submit(api), await api.client()
        path = f"/v1/jobs/{job}/cancel"
        first = await client.post(path, headers=KEY)
        again = await client.post(path, headers=KEY)
        assert first.content == again.content
        assert again.headers["Idempotent-Replay"] == "true"


def _routes(made: FastAPI) -> list[APIRoute]:
    routers = [getattr(route, "original_router", None) for route in made.routes]
    every = [route for router in routers if router is not None for route in router.routes]
    return [route for route in every if isinstance(route, APIRoute)]
