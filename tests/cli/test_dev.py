"""The HTTP API inside `headrace dev`: what it prints can be run as it is."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from headrace import Pipeline
from headrace.cli.trying import example_of
from tests.cli import shop
from tests.cli.conftest import Commands

ENOUGH_S = 30.0


async def told_by(process: asyncio.subprocess.Process, end: str) -> str:
    """What a command says on its standard error, up to a line that has this text."""
    assert process.stderr is not None
    said = ""
    async with asyncio.timeout(ENOUGH_S):
        while end not in said:
            line = await process.stderr.readline()
            assert line, said
            said += line.decode()
    return said


async def run_shell(text: str) -> str:
    process = await asyncio.create_subprocess_exec(
        "bash", "-euo", "pipefail", "-c", text, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, text
    return out.decode()


class TestDev:
    async def test_the_lines_that_it_prints_work(self, commands: Commands) -> None:
        dev = await commands.start("dev", "shop:app")
        said = await told_by(dev, "/retry")
        answer = await run_shell(said[said.index("export API=") :])
        titled = [part.splitlines() for part in re.split("(?m)^-- ", answer)[1:]]
        titles = [title.split()[:2] for title, *_ in titled]
        assert titles == [["a", "job"], ["a", "job"], ["jobs", "that"]]
        (_, *first), (_, cancelled), (_, dead, refused) = titled
        assert "event: result" in first
        assert json.loads(first[-1])["state"] == "completed"
        assert json.loads(cancelled)["state"] == "cancelled"
        assert json.loads(dead)["items"] == []
        assert json.loads(refused)["status"] == 409
        dev.send_signal(signal.SIGINT)
        assert await dev.wait() == 130

    async def test_its_token_is_new_each_time_and_no_other_one_helps(
        self, commands: Commands
    ) -> None:
        tokens = set()
        for _ in range(2):
            dev = await commands.start("dev", "shop:app")
            said = await told_by(dev, "export API=")
            address, token = re.search(
                r"API=(\S+) AUTH='Authorization: Bearer (\S+)'", said
            ).groups()
            tokens.add(token)
            status = "curl -s -o /dev/null -w '%{http_code} ' -H"
            url = shlex.quote(f"{address}/v1/jobs")
            answers = await run_shell(
                f"{status} 'Authorization: Bearer {token}' {url}; "
                f"{status} 'Authorization: Bearer {token[:-1]}x' {url}"
            )
            assert answers.split() == ["200", "401"]
            dev.terminate()
            assert await dev.wait() == 0
        assert len(tokens) == 2

    async def test_a_port_that_was_asked_for_and_is_taken_stops_the_start(
        self, commands: Commands
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            result = await commands.run("dev", "shop:app", "--until-empty", HEADRACE_PORT=port)
        assert result.code == 21
        assert "HEADRACE_PORT" in result.err

    async def test_it_is_not_for_production(self, commands: Commands) -> None:
        result = await commands.run("dev", "shop:app", HEADRACE_ENV="production")
        assert result.code == 21
        assert "headrace worker" in result.err
        assert "hr_dev_" not in result.err

    async def test_without_an_app_it_runs_the_one_that_headrace_brings(
        self, library: Commands, tmp_path: Path
    ) -> None:
        dev = await library.start("dev", folder=tmp_path)
        said = await told_by(dev, "/retry")
        assert "no APP is named" in said
        assert "/v1/documents/search" in said
        said += await told_by(dev, "$IDEA/result")
        assert "/v1/consensus/reviews" in said
        dev.terminate()
        await dev.communicate()

    async def test_that_one_is_refused_before_it_begins_where_it_could_embed_nothing(
        self, library: Commands, tmp_path: Path
    ) -> None:
        dev = await library.start("dev", folder=tmp_path, HEADRACE_DOCUMENTS_EMBEDDER="abacus")
        said = await told_by(dev, "abacus")
        assert "hr_dev_" not in said
        assert await dev.wait() != 0


class TestExamples:
    @pytest.mark.parametrize("pipeline", [shop.orders, shop.failing], ids=lambda found: found.name)
    def test_an_example_is_accepted(self, pipeline: Pipeline[Any, Any]) -> None:
        pipeline.input.decode(json.dumps(example_of(pipeline)))
