"""The demo as a newcomer sees it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from pathlib import Path

import pytest

LAST_LINE = re.compile(r"demo ok: jobs=(\d+) steps=(\d+) resumed=(\d+) recovery_s=(\d+\.\d)")


async def start(folder: Path) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "headrace",
        "demo",
        cwd=folder,
        env={**os.environ, "HEADRACE_LOG_LEVEL": "nonsense", "TMPDIR": str(folder)},
        stdout=PIPE,
        stderr=STDOUT,
    )


async def text_until(process: Process, word: str) -> str:
    assert process.stdout
    text = ""
    while word not in text:
        line = await process.stdout.readline()
        assert line, text
        text += line.decode()
    return text


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def left_in(folder: Path) -> list[str]:
    return os.listdir(folder)  # noqa: PTH208 - names, for the message


class TestDemo:
    @pytest.mark.timeout(120)
    async def test_it_ends_with_its_one_line_and_leaves_nothing_behind(
        self, tmp_path: Path
    ) -> None:
        process = await start(tmp_path)
        out, _ = await process.communicate()
        text = out.decode()
        assert process.returncode == 0, text
        match = LAST_LINE.fullmatch(text.splitlines()[-1])
        assert match, text
        assert int(match[3]) > 0
        assert "broken.txt is no UTF-8 text" in text
        assert left_in(tmp_path) == []

    async def test_ctrl_c_ends_its_worker_too(self, tmp_path: Path) -> None:
        process = await start(tmp_path)
        text = await text_until(process, "worker A is started: process")
        process.send_signal(signal.SIGINT)
        await process.communicate()
        assert process.returncode == 130
        assert not is_running(int(text.split()[-1]))
        assert left_in(tmp_path) == []
