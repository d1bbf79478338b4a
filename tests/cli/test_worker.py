"""`headrace worker` and `headrace dev`."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.cli.conftest import FOLDER, Commands, Headrace, Shop
from tests.cli.test_submit import APP, ORDER, read_until
from tests.store.embedded_users import open_folder


class TestWorker:
    @pytest.mark.parametrize("options", [(), ("--no-supervisor",)])
    async def test_until_empty_it_runs_what_is_due_and_ends(
        self, headrace: Headrace, prepared: Shop, options: tuple[str, ...]
    ) -> None:
        for _ in range(3):
            await prepared.order()
        result = await headrace("worker", "shop:app", "--until-empty", *options)
        assert result.code == 0, result.err
        assert await prepared.states() == ["completed"] * 3

    async def test_it_serves_the_queues_that_are_named(
        self, headrace: Headrace, prepared: Shop
    ) -> None:
        await prepared.order()
        await headrace(
            "worker", "shop:app", "--until-empty", "--queues", "slow", "--concurrency", "3"
        )
        assert await prepared.states() == ["queued"]
        [worker] = (await headrace("workers", "list", "--all", "--json")).json()
        assert worker["queues"] == ["slow"]
        assert worker["concurrency"] == 3

    @pytest.mark.parametrize(
        ("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)], ids=["term", "int"]
    )
    @pytest.mark.parametrize("options", [(), ("--no-supervisor",)], ids=["supervised", "alone"])
    async def test_a_signal_ends_it_in_good_order(
        self, commands: Commands, number: signal.Signals, code: int, options: tuple[str, ...]
    ) -> None:
        worker = await commands.start("worker", "shop:app", *options)
        await read_until(worker, "worker_started")
        worker.send_signal(number)
        out, err = await worker.communicate()
        assert worker.returncode == code
        assert b"worker_stopped" in out
        assert err == b""

    async def test_a_killed_one_is_started_again_by_its_supervisor(
        self, commands: Commands
    ) -> None:
        worker = await commands.start("worker", "shop:app")
        said = await read_until(worker, "worker_started")
        first = json.loads(said.splitlines()[-1])["pid"]
        assert first != worker.pid
        os.kill(first, signal.SIGKILL)
        said = await read_until(worker, "worker_started")
        assert json.loads(said.splitlines()[-1])["pid"] != first

    async def test_it_refuses_a_database_without_the_schema(self, bare_commands: Commands) -> None:
        result = await bare_commands.run("worker", "shop:app", "--until-empty")
        assert result.code == 23
        assert "run `headrace migrate`" in result.err

    async def test_a_drained_one_ends(self, commands: Commands) -> None:
        worker = await commands.start("worker", "shop:app", HEADRACE_HEARTBEAT_S="1")
        said = await read_until(worker, "worker_started")
        number = json.loads(said.splitlines()[-1])["worker_id"]
        drained = await commands.run("workers", "drain", number)
        assert drained.out == f"worker {number} is draining\n"
        assert await worker.wait() == 0


class TestDev:
    async def test_it_serves_all_queues_on_the_embedded_database(self, tmp_path: Path) -> None:
        (tmp_path / "shop.py").write_text((FOLDER / "shop.py").read_text())
        inputs = (("orders", ORDER), ("waiting", json.dumps(str(tmp_path / "shop.py"))))
        with open_folder() as data:
            commands = Commands(HEADRACE_DATA_DIR=str(data))
            for pipeline, value in inputs:
                result = await commands.run(
                    "submit", pipeline, *APP, "--input", value, folder=tmp_path
                )
                assert result.code == 0, result.err
            result = await commands.run("dev", "shop:app", "--until-empty", folder=tmp_path)
        assert result.code == 0, result.err
        assert result.out.count(" job_completed ") == 2
        assert "serving default, slow on the embedded database" in result.err
        assert "Traceback" not in result.out + result.err

    async def test_it_brings_a_database_of_the_settings_up_to_date(
        self, bare_commands: Commands
    ) -> None:
        result = await bare_commands.run("dev", "shop:app", "--until-empty")
        assert result.code == 0, result.err
        assert (await bare_commands.run("migrate", "status")).code == 0

    async def test_a_users_log_line_is_shown(self, headrace: Headrace, prepared: Shop) -> None:
        await prepared.order()
        result = await headrace("dev", "shop:app", "--until-empty")
        assert " billing " in result.out
