"""`headrace schedules`, and what is left of it in the audit."""

from __future__ import annotations

import pytest

from headrace import Headrace as App
from headrace.cli.exits import ExitCode
from headrace.store.audit import list_actions
from tests.cli.conftest import Headrace
from tests.cli.night import reports

ENV = {"HEADRACE_ENV": "testing"}


@pytest.fixture
async def defined(database: str) -> str:
    """The database, once a worker has been there."""
    async with App([reports], database=database) as app:
        worker = app.worker()
        await worker.submit_scheduled()
        await worker.close()
    return database


class TestSchedules:
    async def test_they_are_listed_paused_and_resumed(
        self, headrace: Headrace, defined: str
    ) -> None:
        paused = await headrace(
            "schedules", "pause", "reports.nightly", "--reason", "holidays", **ENV
        )
        assert paused.out == "reports.nightly is paused\n"
        listed = (await headrace("schedules", "list", **ENV)).out.splitlines()
        assert listed[0].split("\t")[:5] == ["schedule", "state", "cron", "timezone", "missed"]
        rows = [line.split("\t") for line in listed[1:]]
        assert [(*row[:5], row[-1]) for row in rows] == [
            ("reports.broken", "active", "0 * * * *", "UTC", "skip", ""),
            ("reports.nightly", "paused", "30 2 * * *", "Europe/Berlin", "once", "holidays"),
        ]
        resumed = await headrace("schedules", "resume", "reports.nightly", **ENV)
        assert resumed.out.startswith("reports.nightly goes on at ")
        async with App([], database=defined) as app, app.connection() as connection:
            done = await list_actions(connection)
        assert [action.action for action in done[::-1]] == [
            "schedule.pause", "schedule.resume",
        ]  # fmt: skip
        assert done[-1].reason == "holidays"

    async def test_one_is_triggered_and_shown(self, headrace: Headrace, defined: str) -> None:
        assert defined
        triggered = await headrace(
            "schedules",
            "trigger",
            "reports.nightly",
            "--app",
            "night:app",
            "--reason",
            "now",
            **ENV,
        )
        job = triggered.out.strip()
        listed = (await headrace("schedules", "list", "--json", **ENV)).json()
        assert [row["address"] for row in listed] == ["reports.broken", "reports.nightly"]
        shown = await headrace("schedules", "show", "reports.nightly", **ENV)
        assert "timezone       Europe/Berlin" in shown.out
        [slot] = [line for line in shown.out.splitlines() if job in line]
        assert slot.split("\t")[1:3] == [job, "queued"]
        assert slot.endswith("\tnow")

    async def test_what_goes_wrong_is_one_line(self, headrace: Headrace, defined: str) -> None:
        assert defined
        failed = await headrace(
            "schedules", "trigger", "reports.broken", "--app", "night:app", **ENV
        )
        assert "reports.broken made no input: LookupError: no data for True" in failed.err
        assert failed.code == ExitCode.CONFLICT
