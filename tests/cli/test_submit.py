"""`headrace submit` and `headrace run`."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path

import pytest

from tests.cli.conftest import Commands, Headrace, Shop

APP = ("--app", "shop:app")
ORDER = '{"item": "lamp", "count": 3}'


class TestSubmit:
    async def test_it_prints_the_id_of_a_queued_job(
        self, headrace: Headrace, prepared: Shop
    ) -> None:
        submitted = await headrace("submit", "orders", *APP, "--input", ORDER)
        status = await prepared.app.status(submitted.out.strip())
        assert (status.state, status.pipeline) == ("queued", "orders")

    async def test_the_input_may_come_from_a_file_or_the_standard_input(
        self, headrace: Headrace, prepared: Shop, tmp_path: Path
    ) -> None:
        path = tmp_path / "order.json"
        path.write_text(ORDER)
        assert (await headrace("submit", "orders", *APP, "--input", f"@{path}")).code == 0
        assert (await headrace("submit", "orders", *APP, "--input", "-", stdin=ORDER)).code == 0
        listed = (await prepared.app.list_jobs()).items
        assert [json.loads(job.input_preview) for job in listed] == [json.loads(ORDER)] * 2

    async def test_a_key_makes_it_the_same_job(self, headrace: Headrace) -> None:
        arguments = ("submit", "orders", *APP, "--input", ORDER, "--key", "order-1")
        first, second = await headrace(*arguments), await headrace(*arguments)
        assert first.out == second.out
        other = await headrace(
            "submit", "orders", *APP, "--input", '{"item": "cup"}', "--key", "order-1"
        )
        assert other.code == 24

    async def test_all_options_are_stored(self, headrace: Headrace, prepared: Shop) -> None:
        submitted = await headrace(
            "submit", "orders", *APP, "--input", ORDER, "--priority", "high", "--due", "2h",
            "--deadline", "1d", "--parameter", "depth=2", "--parameter", "mode=fast",
            "--tenant", "acme", "--owner", "ann", "--json",
        )  # fmt: skip
        job = await prepared.app.status(submitted.json()["id"])
        assert (job.priority, job.tenant, job.owner) == (9, "acme", "ann")
        assert job.parameters == {"depth": 2, "mode": "fast"}
        assert job.wait_reason == "scheduled"
        assert job.due_at is not None
        assert job.deadline is not None
        assert job.due_at < job.deadline

    @pytest.mark.parametrize(
        ("arguments", "code", "told"),
        [
            (("orders", "--input", '{"item": 1}'), 20, "input of orders: $.item: "),
            (("orders", "--input", "{item}"), 20, "input of orders: $: "),
            (("orders", "--input", "@nowhere.json"), 20, "'nowhere.json' cannot be read"),
            (("ordrs", "--input", ORDER), 22, "did you mean 'orders'?"),
            (("orders", "--input", ORDER, "--due", "soon"), 20, "'soon' is no time"),
            (("orders", "--input", ORDER, "--priority", "12"), 20, "priority: "),
            (("orders", "--input", ORDER, "--preset", "quick"), 22, "no preset 'quick'"),
            (("orders", "--input", ORDER, "--parameter", "x"), 20, "'x' is not key=value"),
            (("orders",), 2, "--input"),
        ],
    )
    async def test_what_is_not_accepted_is_one_line_and_stores_nothing(
        self,
        headrace: Headrace,
        prepared: Shop,
        arguments: tuple[str, ...],
        code: int,
        told: str,
    ) -> None:
        result = await headrace("submit", *arguments, *APP)
        assert result.code == code, result.err
        assert told in result.err
        assert code == 2 or len(result.err.splitlines()) == 1
        assert await prepared.states() == []


class TestRun:
    async def test_it_works_by_itself_and_prints_the_result(self, headrace: Headrace) -> None:
        result = await headrace("run", "orders", *APP, "--input", ORDER)
        assert result.json() == {"text": "lamp", "parts": ["box for 15", "label for 15"]}
        assert "no worker is alive for orders in queue default" in result.err
        assert "pack completed 2 of 2 items" in result.err

    async def test_it_leaves_the_work_to_a_worker_that_is_alive(self, commands: Commands) -> None:
        worker = await commands.start("worker", "shop:app", "--no-supervisor")
        await read_until(worker, "worker_started")
        result = await commands.run("run", "orders", *APP, "--input", ORDER)
        assert result.code == 0, result.err
        assert "no worker is alive" not in result.err

    async def test_a_failed_job_ends_it_with_3(self, headrace: Headrace) -> None:
        result = await headrace("run", "failing", *APP, "--input", '"bread"')
        assert result.code == 3
        assert result.out == ""
        assert "BREAD is refused" in result.err

    async def test_its_time_may_be_limited(self, headrace: Headrace) -> None:
        result = await headrace(
            "run", "orders", *APP, "--input", ORDER, "--due", "1h", "--timeout", "0.2s"
        )
        assert result.code == 12
        assert "has not ended within 0.2 s" in result.err

    async def test_ctrl_c_hands_the_job_back_and_is_quiet(
        self, commands: Commands, prepared: Shop, tmp_path: Path
    ) -> None:
        gate = tmp_path / "gate"
        running = await commands.start(
            "run", "waiting", *APP, "--input", json.dumps(str(gate)), HEADRACE_LOG_LEVEL="INFO"
        )
        told = await read_until(running, "job_started", stream="stderr")
        running.send_signal(signal.SIGINT)
        out, err = await running.communicate()
        assert running.returncode == 130
        assert out == b""
        assert "Traceback" not in told + err.decode()
        assert await prepared.states() == ["queued"]
        gate.touch()
        await prepared.work()
        assert await prepared.states() == ["completed"]


async def read_until(
    process: asyncio.subprocess.Process, word: str, *, stream: str = "stdout"
) -> str:
    """Read what a process says up to the line that has a word in it."""
    reader: asyncio.StreamReader = getattr(process, stream)
    said = ""
    async for line in reader:
        said += line.decode()
        if word in said:
            return said
    others = await process.communicate()
    raise AssertionError(f"it never said {word}: {said}{others}")
