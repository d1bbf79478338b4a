"""/v1/admin/schedules."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime

import pytest

from headrace.testing import Engine
from tests.schedules.crontab import pipeline
from tests.web.administering import actor, audited, call
from tests.web.serving import SETTINGS, Api, serve

NAME = "reports.nightly"
reports = pipeline()


@reports.schedule("30 2 * * *", timezone="Europe/Berlin", missed="all")
def nightly(slot: datetime) -> str:
    return slot.isoformat()


@reports.schedule("0 * * * *")
def broken(_: datetime) -> str:
    raise LookupError("no data; token=hunter2hunter2")


@pytest.fixture
async def api(database_server: str) -> AsyncIterator[Api]:
    """The API with its routes for operators, and what a worker has defined."""
    settings = SETTINGS.model_copy(update={"admin_api": True})
    engine = Engine([reports], server=database_server, settings=settings)
    async with engine, serve(engine) as running:
        await engine.run_schedules()
        yield running


class TestSchedules:
    async def test_one_is_listed_paused_and_resumed(self, api: Api):
        [other, one] = await call(api, "GET", "/schedules")
        assert (other["schedule"], one["schedule"]) == ("reports.broken", NAME)
        assert (one["state"], one["cron"], one["timezone"], one["missed"]) == (
            "active", "30 2 * * *", "Europe/Berlin", "all",
        )  # fmt: skip
        paused = await call(api, "POST", f"/schedules/{NAME}/pause")
        assert (paused["state"], paused["paused_by"]) == ("paused", await actor(api))
        assert paused["pause_reason"] == "ticket 4711"
        resumed = await call(api, "POST", f"/schedules/{NAME}/resume")
        assert (resumed["state"], resumed["next_slot"]) == ("active", one["next_slot"])
        assert await audited(api) == [
            ("schedule.list", "all"),
            ("schedule.pause", NAME),
            ("schedule.resume", NAME),
        ]

    async def test_one_is_triggered(self, api: Api):
        done = await call(api, "POST", f"/schedules/{NAME}/trigger")
        [job] = await api.engine.jobs()
        assert done == {"schedule": NAME, "job_id": str(job.id)}
        assert await audited(api) == [("schedule.trigger", NAME)]

    async def test_what_cannot_be_done_says_why_and_is_no_action(self, api: Api):
        for word in ("pause", "resume", "trigger"):
            unknown = await call(api, "POST", f"/schedules/reports.nigthly/{word}", 404)
            assert (unknown["code"], NAME in unknown["detail"]) == ("NOT_FOUND", True)
            await call(api, "POST", f"/schedules/nightly/{word}", 400)
        failed = await call(api, "POST", "/schedules/reports.broken/trigger", 409)
        assert "made no input: LookupError: no data" in failed["detail"]
        assert "hunter2" not in failed["detail"]
        assert await audited(api) == []
