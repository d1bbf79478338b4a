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

LAST_LINE = re.compile(r"demo ok: documents=8 chunks=(\d+) resumed=(\d+) recovery_s=(\d+\.\d)")
RIGHT = ("handbook.pdf, page 15", "flour.html, lines ", "logbook.txt, lines ")


async def start(work: Path, *arguments: str) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "headrace",
        "demo",
        *arguments,
        cwd=work,
        env={**os.environ, "HEADRACE_LOG_LEVEL": "nonsense", "TMPDIR": str(work)},
        stdout=PIPE,
        stderr=STDOUT,
    )


async def output(process: Process) -> str:
    out, _ = await process.communicate()
    return out.decode()


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


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Where the demo runs and puts what it makes."""
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


class TestDemo:
    @pytest.mark.timeout(240)
    async def test_it_does_what_it_promises_and_leaves_nothing_behind(self, work: Path) -> None:
        process = await start(work)
        text = await output(process)
        assert process.returncode == 0, text
        match = LAST_LINE.fullmatch(text.splitlines()[-1])
        assert match, text
        assert int(match[2]) > 0
        assert "reused: handbook_copy.pdf has the same content as handbook.pdf" in text
        assert "members.pdf: the PDF is protected by a password" in text
        assert "survey.pdf: the end of the PDF is missing" in text
        answers = re.findall(r"^\? .*\n +\d\.\d\d  (.*)$", text, re.MULTILINE)
        assert all(map(str.startswith, answers, RIGHT)), answers
        assert len(answers) == len(RIGHT)
        assert left_in(work) == []

    async def test_ctrl_c_ends_its_worker_too(self, work: Path) -> None:
        process = await start(work)
        text = await text_until(process, "worker A is started: process")
        process.send_signal(signal.SIGINT)
        await process.communicate()
        assert process.returncode == 130
        assert not is_running(int(text.split()[-1]))
        assert left_in(work) == []


class TestFolders:
    async def test_files_that_are_done_at_once_prove_nothing(
        self, work: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "short.md").write_text("# A short text\n\nOf one line.\n", encoding="utf-8")
        (tmp_path / "data.bin").write_bytes(bytes(range(256)))
        process = await start(work, str(tmp_path))
        text = await output(process)
        assert process.returncode == 1, text
        assert "refused: data.bin: " in text
        assert "done before the worker could be killed: give more files" in text

    async def test_a_folder_that_is_not_there_is_told_before_anything_is_done(
        self, work: Path
    ) -> None:
        process = await start(work, "nowhere")
        text = await output(process)
        assert (process.returncode, text) == (1, "demo failed: there is no folder nowhere\n")
        assert left_in(work) == []
