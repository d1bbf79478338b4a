"""`headrace jobs`, `dead-letters`, `queues`, `workers` and `pipelines`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Commands, Headrace, Shop
from tests.cli.test_submit import read_until


class TestJobs:
    async def test_a_cursor_leads_through_all_of_them(
        self, headrace: Headrace, prepared: Shop
    ) -> None:
        ids = [await prepared.order() for _ in range(3)]
        first = (await headrace("jobs", "list", "--limit", "2", "--json")).json()
        rest = (await headrace("jobs", "list", "--cursor", first["next"], "--json")).json()
        assert [job["id"] for job in first["items"] + rest["items"]] == ids[::-1]
        assert rest["next"] is None

    async def test_they_are_filtered(self, headrace: Headrace, prepared: Shop) -> None:
        await prepared.order()
        failing = await prepared.fail()
        await prepared.work()
        for filters in (
            ("--state", "failed"),
            ("--pipeline", "failing"),
            ("--cause", "permanent_error"),
        ):
            listed = (await headrace("jobs", "list", *filters, "--since", "1h", "--json")).json()
            assert [job["id"] for job in listed["items"]] == [failing]
        wrong = await headrace("jobs", "list", "--state", "lost")
        assert wrong.code == 20
        assert "queued, running, completed, failed, cancelled" in wrong.err

    async def test_a_table_is_tab_separated_where_nobody_looks(
        self, headrace: Headrace, prepared: Shop
    ) -> None:
        job = await prepared.order()
        head, line = (await headrace("jobs", "list")).out.splitlines()
        assert head.split("\t")[:3] == ["id", "pipeline", "version"]
        assert line.split("\t")[:3] == [job, "orders", "1.2.0"]

    async def test_one_is_shown_with_its_steps_and_history(
        self, headrace: Headrace, prepared: Shop
    ) -> None:
        job = await prepared.order()
        await prepared.work()
        shown = (await headrace("jobs", "show", job)).out
        assert "pack\tcompleted 2 of 2 items" in shown
        assert "\tqueued\tsubmitted\t" in shown
        result = (await headrace("jobs", "show", job, "--result")).json()
        assert result["text"] == "lamp"

    async def test_a_result_that_is_not_there_is_a_conflict(
        self, headrace: Headrace, prepared: Shop
    ) -> None:
        assert (await headrace("jobs", "show", await prepared.order(), "--result")).code == 23

    async def test_one_that_does_not_exist_is_told(self, headrace: Headrace) -> None:
        job = "0190b6d6-2c8f-7000-8000-000000000000"
        result = await headrace("jobs", "show", job)
        assert result.code == 22
        assert result.err == f"headrace: no job {job}\n"

    async def test_watching_ends_with_the_outcome(self, headrace: Headrace, prepared: Shop) -> None:
        good, bad = await prepared.order(), await prepared.fail()
        gone = await prepared.order()
        await headrace("jobs", "cancel", gone)
        await prepared.work()
        codes = [(await headrace("jobs", "watch", job)).code for job in (good, bad, gone)]
        assert codes == [0, 3, 4]

    async def test_a_running_one_is_cancelled(
        self, commands: Commands, prepared: Shop, tmp_path: Path
    ) -> None:
        job = await prepared.wait_for(tmp_path / "gate")
        worker = await commands.start("worker", "shop:app", "--queues", "slow", "--no-supervisor")
        await read_until(worker, "job_started")
        cancelled = await commands.run("jobs", "cancel", job, "--reason", "not needed")
        assert cancelled.out == f"{job} is being cancelled\n"
        watched = await commands.run("jobs", "watch", job)
        assert watched.code == 4
        shown = (await commands.run("jobs", "show", job, "--json")).json()["job"]
        assert shown["cancel_reason"] == "not needed"

    async def test_a_failed_one_is_retried_and_a_completed_one_replayed(
        self, headrace: Headrace, prepared: Shop
    ) -> None:
        job = await prepared.fail()
        await prepared.work()
        assert (await headrace("jobs", "retry", job)).out == f"{job} is queued for run 2\n"
        await prepared.work()
        refused = await headrace("jobs", "retry", job)
        assert refused.code == 23
        assert "use headrace jobs replay" in refused.err
        assert (await headrace("jobs", "replay", job)).code == 20
        assert (await headrace("jobs", "replay", job, "--from", "refuse")).code == 0
        await prepared.work()
        steps = (await headrace("jobs", "show", job, "--json")).json()["job"]["steps"]
        assert {step["name"]: step["reused_from"] for step in steps} == {
            "prepare": 1,
            "refuse": None,
        }

    async def test_an_error_about_one_does_not_keep_the_others(
        self, headrace: Headrace, prepared: Shop
    ) -> None:
        job = await prepared.order()
        result = await headrace("jobs", "cancel", "nonsense", job)
        assert result.code == 22
        assert result.out == f"{job} cancelled\n"


class TestDeadLetters:
    async def test_they_are_listed_shown_and_redriven(
        self, headrace: Headrace, prepared: Shop
    ) -> None:
        jobs = {await prepared.fail(bread) for bread in ("rye", "oat")}
        await prepared.work()
        listed = (await headrace("dead-letters", "list", "--json")).json()["items"]
        assert {letter["job"] for letter in listed} == jobs
        [rye] = (await headrace("dead-letters", "list", "--text", "RYE", "--json")).json()["items"]
        shown = (await headrace("dead-letters", "show", rye["job"])).out
        assert "RYE is refused" in shown
        dry = await headrace("dead-letters", "redrive", "--pipeline", "failing", "--dry-run")
        assert dry.out == "2 jobs would be queued again\n"
        redriven = await headrace("dead-letters", "redrive", "--all", "--rate", "1", "--json")
        assert set(redriven.json()["runs"]) == jobs
        await prepared.work()
        assert await prepared.states() == ["completed", "completed"]

    async def test_a_redrive_of_nothing_in_particular_is_refused(self, headrace: Headrace) -> None:
        result = await headrace("dead-letters", "redrive")
        assert result.code == 20
        assert "name jobs, give a filter, or --all" in result.err


class TestQueues:
    async def test_a_paused_one_starts_nothing_until_it_is_resumed(
        self, headrace: Headrace, prepared: Shop
    ) -> None:
        await prepared.order()
        await headrace("queues", "pause", "default", "--reason", "repair")
        await prepared.work()
        listed = (await headrace("queues", "list", "--json")).json()
        [queue] = [queue for queue in listed if queue["name"] == "default"]
        assert (queue["depth"], queue["pause_reason"]) == (1, "repair")
        assert (await headrace("queues", "resume", "default")).out == "default is open again\n"
        await prepared.work()
        assert await prepared.states() == ["completed"]

    async def test_an_unknown_one_is_not_found(self, headrace: Headrace, prepared: Shop) -> None:
        await prepared.order()
        result = await headrace("queues", "pause", "defualt")
        assert result.code == 22
        assert "did you mean 'default'?" in result.err


class TestWorkers:
    async def test_draining_needs_to_be_told_whom(self, headrace: Headrace) -> None:
        assert (await headrace("workers", "drain")).code == 20
        assert (await headrace("workers", "drain", "77")).code == 20
        assert (await headrace("workers", "drain", "--all")).code == 0


SHOP = """
from dataclasses import dataclass
from headrace import Each, Headrace, Pipeline

@dataclass
class Order:
    item: str
    count: int = 1

orders = Pipeline("orders", version="{version}", input=Order, output=str)

@orders.step({options})
async def {price}(order: Order) -> {kind}:
    raise ValueError("not today")

@orders.step
async def bill({price}: {kind}) -> str:
    return str({price})

app = Headrace(pipelines=[orders])
"""


class TestPipelines:
    async def test_they_are_listed_and_shown(self, headrace: Headrace, prepared: Shop) -> None:
        await prepared.order()
        [known] = (await headrace("pipelines", "list", "--json")).json()
        assert (known["name"], known["version"], known["queues"]) == (
            "orders",
            "1.2.0",
            ["default"],
        )
        shown = (await headrace("pipelines", "show", "orders")).out
        assert "pack\tprice\tyes" in shown
        assert (await headrace("pipelines", "show", "ordres")).code == 22

    @pytest.mark.parametrize(
        ("changes", "kinds"),
        [
            ({}, []),
            ({"version": "1.3.0"}, []),
            ({"version": "1.1.0"}, ["version_older"]),
            ({"price": "cost"}, ["step_gone"]),
            ({"price": "cost", "options": 'was="price"'}, []),
            ({"kind": "list[int]"}, ["output_unfit"]),
        ],
        ids=["same", "newer", "older", "renamed", "renamed-with-was", "other-type"],
    )
    async def test_a_check_tells_which_jobs_a_version_would_strand(
        self,
        headrace: Headrace,
        prepared: Shop,
        tmp_path: Path,
        changes: dict[str, str],
        kinds: list[str],
    ) -> None:
        job = await prepared.order()
        await prepared.work()
        await headrace("jobs", "replay", job, "--from", "bill")  # price is stored, bill is to come
        plain = {"version": "1.2.0", "price": "price", "kind": "int", "options": ""}
        text = SHOP.format(**(plain | changes))
        # The fan-out of the first version is no step here: it is gone in every case.
        (tmp_path / "later.py").write_text(text + "\n")
        result = await headrace("pipelines", "check", "later:app", "--json", folder=tmp_path)
        found = [stranded["problem"]["kind"] for stranded in json.loads(result.out)["stranded"]]
        assert sorted(found) == sorted([*kinds, "step_gone"])
        assert result.code == 1

    async def test_a_check_of_the_same_code_passes(
        self, headrace: Headrace, prepared: Shop
    ) -> None:
        job = await prepared.order()
        await prepared.work()
        await headrace("jobs", "replay", job, "--from", "bill")
        result = await headrace("pipelines", "check", "shop:app")
        assert result.code == 0, result.out
        assert result.out.startswith("1 live jobs")
