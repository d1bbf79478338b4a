"""What the API tells of jobs that wait."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from headrace.testing import Engine
from headrace.web.auth.identity import Scope
from tests.waiting import eventually
from tests.waits.pipes import PIPELINES, Approval, order, shipping
from tests.web.asking import get, submit
from tests.web.serving import SETTINGS, Api, serve, who
from tests.web.sse import page

WAITS = 12


@pytest.fixture
async def api(database_server: str) -> AsyncIterator[Api]:
    """An API of pipelines that wait."""
    engine = Engine(PIPELINES, server=database_server, settings=SETTINGS)
    async with engine, serve(engine) as running:
        yield running


async def waiting_for(api: Api, job: str, reason: str) -> dict[str, Any]:
    """What is told of a job once it waits for a reason."""
    found: dict[str, Any] = {}

    async def waits() -> bool:
        found.update((await get(api, f"/v1/jobs/{job}")).json())
        return found["wait_reason"] == reason

    await eventually(waits)
    return found


class TestAJob:
    async def test_its_waits_its_signals_and_its_children_are_told(self, api: Api):
        async with api.engine.worker():
            job = await submit(api, "order", "lamp")
            told = await waiting_for(api, job, "external")
            [wait] = told["waits"]
            assert wait | {"since": None, "until": None} == {
                "step": "approve",
                "item": None,
                "kind": "signal",
                "name": "approval",
                "since": None,
                "until": None,
                "pipeline": None,
                "state": None,
            }
            assert wait["since"] < wait["until"]
            assert [step["state"] for step in told["steps"]] == ["completed", *["pending"] * 3]
            assert (told["signals"], told["children"]) == ([], [])
            assert told["due_at"] >= wait["until"]
            assert told["check_status_at"] < wait["until"]

            await api.engine.app.send(job, "approval", Approval(ok=True), actor="ann")
            told = await waiting_for(api, job, "child")
            [wait], [child], [signal] = told["waits"], told["children"], told["signals"]
            assert (wait["name"], wait["pipeline"]) == (child["job_id"], "shipping")
            assert (signal["name"], signal["state"], signal["by"]) == (
                *("approval", "received", "ann"),
            )
            assert "ok" not in str(told["signals"])
            assert (told["waits_total"], told["children_total"]) == (1, 1)

    async def test_events_tell_when_a_step_begins_to_wait_and_what_comes(self, api: Api):
        async with api.engine.worker():
            job = await submit(api, "order", "lamp")
            await waiting_for(api, job, "external")
            await api.engine.app.send(job, "approval", Approval(ok=True), actor="ann")
            await waiting_for(api, job, "child")
        events = (await page(await api.client(), job))["items"]
        [signal] = [event["data"] for event in events if event["event"] == "signal"]
        [shown] = (await get(api, f"/v1/jobs/{job}")).json()["signals"]
        assert signal == {"run": 1, **shown, "reused_from": None}
        assert (signal["name"], signal["by"]) == ("approval", "ann")
        told = [
            (
                event["data"].get("step") or event["data"].get("to_state") or event["event"],
                event["data"].get("waits_for"),
            )
            for event in events
        ]
        named = [(what, waits and (waits["kind"], waits["name"])) for what, waits in told]
        [child] = (await get(api, f"/v1/jobs/{job}")).json()["children"]
        assert named == [
            ("queued", None),
            ("running", None),
            ("price", None),
            ("approve", ("signal", "approval")),
            ("queued", None),
            ("signal", None),
            ("running", None),
            ("approve", None),
            ("ship", ("child", child["job_id"])),
            ("queued", None),
        ]
        assert [event["data"]["reason"] for event in events if event["event"] == "state"] == [
            *("submitted", "claimed", "external", "claimed", "child"),
        ]


class TestNumbers:
    async def test_jobs_that_wait_are_neither_due_nor_old(self, api: Api):
        jobs = [
            await api.engine.submit(shipping, "lamp", tenant="acme", owner="ann")
            for _ in range(WAITS)
        ]

        async def all_wait() -> bool:
            told = (await get(api, "/v1/jobs", wait_reason="external")).json()
            return bool(told["total"] == WAITS)

        async with api.engine.worker():
            await eventually(all_wait)
        [queue] = (await get(api, "/v1/queues")).json()
        counts = {name: queue[name] for name in ("depth", "due", "waiting", "blocked", "running")}
        assert counts == {"depth": WAITS, "due": 0, "waiting": WAITS, "blocked": 0, "running": 0}
        assert queue["oldest_age_s"] is None
        [local] = await api.engine.app.list_queues()
        assert (local.waiting, local.due, local.oldest_age_s) == (WAITS, 0, None)
        operator = await api.client(who("x", "a", Scope.JOBS_READ, Scope.OPERATOR))
        [stats] = (await operator.get("/stats")).json()["queues"]
        assert (stats["waiting"], stats["due"], stats["unclaimable"]) == (WAITS, 0, 0)
        assert stats["oldest_due_s"] == 0
        await api.engine.app.send(jobs[0].id, "shelf", 7)
        [queue] = (await get(api, "/v1/queues")).json()
        assert (queue["waiting"], queue["due"]) == (WAITS - 1, 1)

    async def test_a_pipeline_tells_what_can_be_sent(self, api: Api):
        told = (await get(api, f"/v1/pipelines/{order.name}")).json()
        [signal] = told["signals"]
        assert (signal["name"], signal["timeout_s"], signal["may_lack"]) == (
            *("approval", 3 * 86_400, False),
        )
        assert signal["value_schema"]["required"] == ["ok"]
        waits = {
            step["name"]: (step["signals"], step["delay_s"], step["has_child"])
            for step in told["steps"]
        }
        assert waits == {
            "price": ([], None, False),
            "approve": (["approval"], None, False),
            "ship": ([], None, True),
            "ask_how_it_was": ([], 3600, False),
        }
