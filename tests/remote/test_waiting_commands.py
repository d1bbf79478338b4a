"""What commands show of jobs that wait, and send to them: at an API, and on its database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from io import StringIO

import pytest
from rich.console import Console

from headrace.cli.live import job_table
from headrace.testing import Engine
from tests.remote.test_commands import WHOSE, Desk, Place
from tests.waiting import eventually
from tests.waits.pipes import PIPELINES, Approval, order, parcels, shipping
from tests.web.followed import QUICK
from tests.web.serving import SETTINGS, serve, who

APP = ("--app", "tests.waits.pipes:app")
YES = '{"ok": true}'


@pytest.fixture
async def place(database_server: str) -> AsyncIterator[Place]:
    """An API of pipelines that wait, its commands, and those on its database."""
    engine = Engine(PIPELINES, server=database_server, settings=SETTINGS)
    async with engine, serve(engine, pace=QUICK) as api:
        key = await api.key(who())
        remote = Desk({"HEADRACE_API_URL": api.url, "HEADRACE_API_TOKEN": key})
        yield Place(api, remote, Desk({"HEADRACE_DATABASE_URL": engine.database}))


async def ordered(place: Place) -> str:
    return (await place.api.engine.submit(order, "lamp", **WHOSE)).id


async def work_until(place: Place, job: str, reason: str) -> None:
    """Let a worker run until a job waits for a reason."""

    async def waits() -> bool:
        return (await place.api.engine.app.status(job)).wait_reason == reason

    async with place.api.engine.worker():
        await eventually(waits)


class TestShowing:
    async def test_a_job_that_waits_says_for_what(self, place: Place):
        job = await ordered(place)
        await work_until(place, job, "external")
        for commands in (place.local, place.remote):
            shown = (await commands.run("jobs", "show", job)).out
            assert "queued (external, due " in shown
            assert "approve\tpending, waits for signal approval until 20" in shown
            [listed] = (
                await commands.run("jobs", "list", "--wait-reason", "external", "--json")
            ).json()["items"]
            assert listed["id"] == job

        await place.api.engine.app.send(job, "approval", Approval(ok=True), actor="ann")
        await work_until(place, job, "child")
        [child] = (await place.api.engine.app.status(job)).children
        for commands in (place.local, place.remote):
            shown = (await commands.run("jobs", "show", job)).out
            assert f"ship\tpending, waits for job {child.id} (shipping, queued)" in shown
            assert "approval\treceived\t20" in shown
            assert f"{child.id}\tshipping\tqueued" in shown
            told = (await commands.run("jobs", "show", job, "--json")).json()["job"]
            assert [wait["name"] for wait in told["waits"]] == [child.id]
            assert told["children"] == [{"id": child.id, "pipeline": "shipping", "state": "queued"}]
            [listed] = (await commands.run("jobs", "list", "--parent", job, "--json")).json()[
                "items"
            ]
            assert listed["id"] == child.id

        await place.api.engine.app.send(child.id, "shelf", 7)
        await work_until(place, job, "delay")
        shown = (await place.local.run("jobs", "show", job)).out
        assert "ask_how_it_was\tpending, starts at 20" in shown

    async def test_watching_says_it_too(self, place: Place):
        job = await ordered(place)
        await work_until(place, job, "external")
        watched = await place.local.run("jobs", "watch", job, "--timeout", "0.6")
        assert watched.code == 12
        assert "  approve pending, waits for signal approval until " in watched.out

    async def test_what_came_is_said_too(self, place: Place):
        job = await ordered(place)
        await place.api.engine.app.send(job, "approval", Approval(ok=True), actor="ann")
        await place.api.engine.app.cancel(job)
        for commands in (place.local, place.remote):
            watched = await commands.run("jobs", "watch", job)
            assert "\n  signal approval came from ann at 20" in watched.out
        drawn = StringIO()
        Console(file=drawn, width=120).print(job_table(await place.api.engine.app.status(job)))
        assert "\n signal approval came from ann at 20" in drawn.getvalue()

    async def test_it_is_drawn_on_a_terminal_too(self, place: Place):
        job = (await place.api.engine.submit(parcels, 3, **WHOSE)).id
        await work_until(place, job, "child")
        drawn = StringIO()
        status = await place.api.engine.app.status(job)
        Console(file=drawn, width=120).print(job_table(status))
        assert "queued (child)" in drawn.getvalue()
        assert "pending 0 of 3 items, waits for 3 child jobs" in drawn.getvalue()

    async def test_a_pipeline_is_shown_with_what_it_waits_for(self, place: Place):
        await ordered(place)
        for commands in (place.local, place.remote):
            shown = (await commands.run("pipelines", "show", "order")).out
            assert "approve\tprice\tsignal approval\t" in shown
            assert "ship\tapprove\tchild job\t" in shown
            assert "ask_how_it_was\tship\t3600 s\t" in shown
            assert "approval\tApproval\t259200 s\tfails" in shown


class TestSending:
    async def test_the_first_value_stands(self, place: Place):
        for commands, more in ((place.local, APP), (place.remote, ())):
            job = await ordered(place)
            sent = await commands.run("jobs", "send", job, "approval", YES, *more)
            assert (sent.code, sent.out) == (0, f"{job} approval is stored\n")
            again = await commands.run("jobs", "send", job, "approval", YES, "--json", *more)
            assert again.json()["fate"] == "same"
            other = await commands.run("jobs", "send", job, "approval", '{"ok": false}', *more)
            assert (other.code, other.out) == (23, "")
            assert "another value stands" in other.err

    async def test_who_sends_is_kept(self, place: Place):
        job = await ordered(place)
        send = ("jobs", "send", job, "approval", YES)
        assert (await place.local.run(*send, *APP, "--actor", "ann of sales")).code == 0
        listed = (await place.local.run("jobs", "signals", job)).out
        assert "approval\treceived\t" in listed
        assert '\tann of sales\t{"ok": true, "note": ""}' in listed
        refused = await place.remote.run(*send, "--actor", "ann of sales")
        assert (refused.code, "--actor" in refused.err) == (2, True)

    async def test_what_can_be_sent_is_listed(self, place: Place):
        job = await ordered(place)
        for commands in (place.local, place.remote):
            assert "approval\topen" in (await commands.run("jobs", "signals", job)).out
        await work_until(place, job, "external")
        for commands in (place.local, place.remote):
            assert (
                "approval\tawaited\tapprove\t20" in (await commands.run("jobs", "signals", job)).out
            )
            [known] = (await commands.run("jobs", "signals", job, "--json")).json()
            assert known["value_schema"]["required"] == ["ok"]

    async def test_what_does_not_fit_is_refused_with_what_to_write(self, place: Place):
        job = await ordered(place)
        for commands, more in ((place.local, APP), (place.remote, ())):
            for name, value, code, said in (
                ("approval", "yes", 20, "in a shell as '\"yes\"'"),
                ("approval", '{"ok": "perhaps"}', 20, "$.ok"),
                ("aproval", YES, 22, "its pipeline waits for: approval"),
            ):
                refused = await commands.run("jobs", "send", job, name, value, *more)
                assert (refused.code, refused.out) == (code, ""), refused.err
                assert said in refused.err

    async def test_a_job_that_has_ended_takes_none(self, place: Place):
        for commands, more in ((place.local, APP), (place.remote, ())):
            handle = await place.api.engine.submit(shipping, "lamp", **WHOSE)
            await handle.cancel()
            refused = await commands.run("jobs", "send", handle.id, "shelf", "7", *more)
            assert refused.code == 23
            assert "has ended; nothing was stored" in refused.err
