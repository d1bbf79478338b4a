"""What the OpenAPI document tells is so, whatever is asked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
import pytest_asyncio

from headrace.web.auth.identity import Scope
from headrace.web.events.hub import Pace
from tests.web.fuzzing import Target, Tried, fuzz
from tests.web.pipes import PIPELINES
from tests.web.serving import Api, serve, who
from tests.web.whole import DOCUMENTED, HOOK, OPERATIONS, Stock, fill, whole_engine

CASES = 3
NUMBER = 4_711
GROUPS = sorted(
    {one.tag for one in OPERATIONS}, key=lambda tag: (tag == "jobs", tag != "links", tag)
)
"""That of jobs removes what the others look at, and admins end jobs that wait for an answer."""
SHORT = Pace(life=0.05, heartbeat=0.02)
"""Event streams that end before a client gets tired of them."""
ALL = who("acme", "ann", *Scope)


@contextlib.asynccontextmanager
async def target(server: str) -> AsyncIterator[tuple[Api, Target]]:
    """An API with something in it for every group of routes, inside an `async with` block."""
    engine = whole_engine(server)
    async with engine, serve(engine, pace=SHORT) as api:
        known = known_of(await fill(api))
        yield api, Target(api.url, await api.key(ALL), known)


def known_of(stock: Stock) -> dict[str, list[dict[str, object]]]:
    """What exists, by the name of a parameter."""
    return {
        "document_id": [{"document_id": document} for document in stock.documents],
        "document_ids": [{"document_ids": stock.documents}],
        "file": [{"file": f"{number} herons".encode()} for number in range(9)],
        "from_step": [{"from_step": "twice"}, {"from_step": "handle"}, {"from_step": None}],
        "job_id": [{"job_id": job, "name": "fill"} for job in stock.jobs],
        "name": [{"name": pipeline.name} for pipeline in PIPELINES],
        "schema": [{"schema": "IdeaInput"}],
        "signal": [{"job_id": job, "signal": "go"} for job in stock.patient],
        "token": [{"token": token} for token in stock.tokens],
        "another_id": [{"job_id": a, "another_id": b} for a, b in pairwise(stock.reviews)],
        "edit_notes": [{"edit_notes": "Smaller.", "job_id": stock.reviews[0]}],
        "pipeline": [
            {"pipeline": "double", "payload": 1},
            {"pipeline": "decide", "payload": {"title": "a", "size": 2}, "preset": "quick"},
        ],
        "prefix": [{"prefix": prefix} for prefix in stock.keys],
        "url": [{"url": HOOK}, {"url": HOOK, "events": ["job.failed"]}],
        "webhook": [{"webhook": {"url": HOOK}, "pipeline": "double", "payload": 1}],
        "webhook_id": [{"webhook_id": webhook} for webhook in stock.webhooks],
        "queue": [{"queue": "default"}, {"queue": "documents"}],
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def aim(vector_server: str) -> AsyncIterator[Target]:
    async with target(vector_server) as (_, made):
        yield made


@pytest.mark.asyncio(loop_scope="module")
class TestTheDocument:
    """A12: whatever is asked, the answer is one that the document tells, and never a 500."""

    @pytest.mark.parametrize("group", GROUPS)
    async def test_no_request_is_answered_in_a_way_that_is_not_told(self, aim: Target, group: str):
        tried: list[Tried] = await asyncio.to_thread(
            lambda: list(fuzz(DOCUMENTED.openapi(), aim, cases=CASES, number=NUMBER, tag=group))
        )
        assert [one for one in tried if one.finding] == []
        unused = [one.operation for one in tried if not any(key < 400 for key in one.statuses)]
        assert [operation for operation in unused if operation.startswith("GET")] == []
