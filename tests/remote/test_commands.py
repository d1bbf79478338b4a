"""The command line at a remote API: no database is named, and everything is as it is locally."""

import asyncio
import contextlib
import io
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from headrace.cli.program import run
from headrace.testing import Engine
from tests.cli import shop
from tests.cli.conftest import Commands, Result
from tests.documents.conftest import documents
from tests.documents.trial import TRIAL
from tests.web.followed import QUICK
from tests.web.serving import SETTINGS, Api, serve, who

ORDER = '{"item": "lamp", "count": 3}'


@dataclass(frozen=True)
class Desk:
    """Runs commands in this process, where one takes a tenth of what a new process takes."""

    environment: dict[str, str]

    async def run(self, *arguments: str, **more: str) -> Result:
        return await asyncio.to_thread(self._run, arguments, self.environment | more)

    def _run(self, arguments: tuple[str, ...], environment: dict[str, str]) -> Result:
        out, err = io.StringIO(), io.StringIO()
        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            for name in ("API_URL", "API_TOKEN", "API_INSECURE", "DATABASE_URL"):
                patch.delenv(f"HEADRACE_{name}", raising=False)
            for name, text in environment.items():
                patch.setenv(name, text)
            code = run(arguments)
        return Result(int(code), out.getvalue(), err.getvalue())


@dataclass
class Place:
    """An API, its commands, and those on its database."""

    api: Api
    remote: Desk
    local: Desk

    async def order(self) -> str:
        return (await self.api.engine.submit(shop.orders, shop.Order("lamp"), **WHOSE)).id

    async def fail(self) -> str:
        return (await self.api.engine.submit(shop.failing, "rye", **WHOSE)).id


WHOSE = {"tenant": "acme", "owner": "ann"}


async def placed(server: str) -> AsyncIterator[Place]:
    pipelines = [shop.orders, shop.failing, shop.waiting, documents]
    engine = Engine(pipelines, server=server, settings=SETTINGS)
    async with engine, serve(engine, pace=QUICK) as api:
        key = await api.key(who())
        remote = Desk({"HEADRACE_API_URL": api.url, "HEADRACE_API_TOKEN": key})
        yield Place(api, remote, Desk({"HEADRACE_DATABASE_URL": engine.database}))


@pytest.fixture
async def place(vector_server: str) -> AsyncIterator[Place]:
    TRIAL.reset()
    async for made in placed(vector_server):
        yield made


class TestProcess:
    async def test_a_command_needs_an_address_and_a_token_alone(self, place: Place):
        commands = Commands(**place.remote.environment)
        submitted = await commands.run("submit", "orders", "--input", ORDER)
        assert (submitted.code, submitted.err) == (0, "")
        [job] = (await place.remote.run("jobs", "list", "--json")).json()["items"]
        assert job["id"] == submitted.out.strip()


class TestJobs:
    async def test_one_is_submitted_once_shown_and_listed_as_locally(self, place: Place):
        submit = ("submit", "orders", "--input", ORDER, "--key", "k", "--priority", "high")
        first, again = [(await place.remote.run(*submit)).out.strip() for _ in range(2)]
        assert first == again
        await place.api.engine.run_until_empty()
        shown, known = [
            (await commands.run("jobs", "show", first, "--json")).json()
            for commands in (place.remote, place.local)
        ]
        assert shown["job"]["priority"] == 9
        assert set(known["job"]) - set(shown["job"]) == {
            "tenant",
            "worker",
            "cancelled_by",
            "idempotency_key",
        }
        assert shown["job"]["steps"] == known["job"]["steps"]
        assert shown["job"]["progress"] == 1
        assert [entry["to_state"] for entry in shown["history"]] == [
            entry["to_state"] for entry in known["history"]
        ]
        listed, there = [
            (await commands.run("jobs", "list")).out.splitlines()
            for commands in (place.remote, place.local)
        ]
        assert listed[0] == there[0]
        assert listed[1].split("\t")[:8] == there[1].split("\t")[:8]

    async def test_run_follows_one_and_prints_its_result(self, place: Place):
        async with place.api.engine.worker():
            result = await place.remote.run("run", "orders", "--input", ORDER)
            failed = await place.remote.run("run", "failing", "--input", '"rye"')
        assert result.json() == {"text": "lamp", "parts": ["box for 15", "label for 15"]}
        assert "pack completed 2 of 2 items" in result.err
        assert failed.code == 3
        assert "failed (permanent_error)" in failed.err

    async def test_they_are_cancelled_retried_and_watched(self, place: Place):
        job = await place.order()
        cancelled = await place.remote.run("jobs", "cancel", job, "nonsense")
        assert cancelled.out == f"{job} cancelled\n"
        assert (cancelled.code, cancelled.err) == (22, "headrace: job nonsense: no job nonsense\n")
        retried = await place.remote.run("jobs", "retry", job)
        assert retried.out == f"{job} is queued for run 2\n"
        refused = await place.remote.run("jobs", "replay", job, "--force")
        assert refused.code == 23
        assert "wait for it: headrace jobs watch" in refused.err
        async with place.api.engine.worker():
            watched = await place.remote.run("jobs", "watch", job)
        assert watched.code == 0
        assert "bill completed" in watched.out

    async def test_dead_letters_are_listed_shown_and_redriven(self, place: Place):
        jobs = {await place.fail(), await place.fail()}
        await place.api.engine.run_until_empty()
        listed, known = [
            (await commands.run("dead-letters", "list", "--json")).json()["items"]
            for commands in (place.remote, place.local)
        ]
        assert {letter["job"] for letter in listed} == jobs
        assert set(known[0]) - set(listed[0]) == {"tenant"}
        shown = await place.remote.run("dead-letters", "show", listed[0]["job"])
        assert "permanent_error" in shown.out
        redrive = ("dead-letters", "redrive", "--cause", "permanent_error", "--rate", "1000")
        assert (await place.remote.run(*redrive, "--dry-run")).out.startswith("2 jobs")
        assert set((await place.remote.run(*redrive, "--json")).json()["runs"]) == jobs

    async def test_queues_and_pipelines_are_shown(self, place: Place):
        await place.order()
        [queue] = (await place.remote.run("queues", "list", "--json")).json()
        assert (queue["name"], queue["depth"]) == ("default", 1)
        listed = (await place.remote.run("pipelines", "list")).out
        assert "orders\t1.2.0\tdefault\tprice, pack, bill" in listed
        shown = (await place.remote.run("pipelines", "show", "orders")).out
        assert "pack\tprice\tyes" in shown


class TestDocuments:
    async def test_files_are_added_listed_searched_and_deleted(self, place: Place, tmp_path: Path):
        (tmp_path / "mill.md").write_text("# Sluices\n\nThe miller opens the sluice at dawn.\n")
        (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
        async with place.api.engine.worker():
            added = await place.remote.run("documents", "add", str(tmp_path), "--json")
            again = await place.remote.run("documents", "add", str(tmp_path / "mill.md"))
        assert added.json()["counts"] == {"added": 1, "refused": 1}
        assert again.code == 0
        assert "reused" in again.out
        [document] = (await place.remote.run("documents", "list", "--json")).json()["items"]
        assert document["stage"] == "complete"
        found = (await place.remote.run("search", "Who opens the sluice?", "--json")).json()
        assert found[0]["document"] == document["id"]
        chunks = (await place.remote.run("documents", "chunks", document["id"], "--json")).json()
        assert "sluice" in chunks[0]["text"]
        shown = (await place.remote.run("documents", "show", document["id"])).out
        assert "embed\tcompleted" in shown
        deleted = await place.remote.run("documents", "delete", document["id"])
        assert deleted.out == f"{document['id']} is deleted\n"
        gone = await place.remote.run("documents", "show", document["id"])
        assert gone.code == 22


class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "environment", "code", "told"),
        [
            (("queues", "pause", "q", "--api", "https://x"), {}, 2, "headrace queues pause works"),
            (("workers", "list"), {"URL": "https://x"}, 2, "headrace workers list works on the"),
            (("config", "show", "--api", "https://x"), {}, 2, "headrace config show works on"),
            (("jobs", "list", "--tenant", "t"), {"URL": "https://x"}, 2, "--tenant works on the"),
            (
                ("submit", "orders", "--app", "shop:app", "--input", "1"),
                {"URL": "https://x"},
                20,
                "--app: ",
            ),
            (("submit", "orders", "--input", "{"), {"URL": "https://x"}, 20, "it is no JSON"),
            (("jobs", "list", "--api", "nowhere"), {}, 21, "no address of an API"),
            (
                ("jobs", "list", "--api", "http://example.com"),
                {"TOKEN": "hr_canary"},
                21,
                "plain HTTP",
            ),
        ],
    )
    async def test_what_cannot_be_asked_of_an_api_is_told_in_one_line(
        self, arguments: tuple[str, ...], environment: dict[str, str], code: int, told: str
    ):
        given = {f"HEADRACE_API_{name}": text for name, text in environment.items()}
        result = await Desk({}).run(*arguments, **given)
        assert (result.code, result.out) == (code, "")
        [line] = result.err.splitlines()
        assert line.startswith("headrace: ")
        assert told in line
        assert "hr_canary" not in line

    async def test_a_token_that_is_not_accepted_has_its_own_code(self, place: Place):
        wrong = {"HEADRACE_API_TOKEN": "hr_wrong"}
        result = await place.remote.run("jobs", "list", **wrong)
        assert result.code == 30
        assert "HEADRACE_API_TOKEN" in result.err


class TestReadersThatLeave:
    @pytest.mark.parametrize("arguments", [("--help",), ("doctor",)])
    async def test_a_command_ends_quietly_when_nobody_reads_its_output(
        self, arguments: tuple[str, ...], tmp_path: Path
    ):
        reading, writing = os.pipe()
        os.close(reading)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "headrace",
            *arguments,
            cwd=tmp_path,
            env=os.environ | {"HEADRACE_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"},
            stdout=writing,
            stderr=asyncio.subprocess.PIPE,
        )
        os.close(writing)
        _, err = await process.communicate()
        assert err.decode() == ""
        assert process.returncode == 128 + signal.SIGPIPE
