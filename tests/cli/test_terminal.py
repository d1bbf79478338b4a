"""What is drawn on a terminal."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

from tests.cli.conftest import FOLDER, Shop
from tests.cli.test_submit import APP, ORDER

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_a_terminal(database: str, *arguments: str, folder: Path = FOLDER) -> tuple[int, str]:
    """The exit code of a command and all that it wrote to its terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "headrace", *arguments],
        cwd=folder,
        env={**os.environ, "HEADRACE_DATABASE_URL": database, "TERM": "xterm", "COLUMNS": "120"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    said = b""
    try:
        while piece := os.read(ours, 4096):
            said += piece
    except OSError:  # the last one closed it
        pass
    finally:
        os.close(ours)
    return process.wait(), CONTROL.sub("", said.decode())


class TestTerminal:
    async def test_run_draws_the_steps_and_prints_the_result(self, database: str) -> None:
        code, said = await asyncio.to_thread(
            on_a_terminal, database, "run", "orders", *APP, "--input", ORDER
        )
        assert code == 0, said
        assert "✓ pack" in said
        assert '"text": "lamp"' in said

    async def test_dev_draws_how_jobs_ended_below_the_log(
        self, database: str, prepared: Shop
    ) -> None:
        await prepared.order()
        await prepared.fail()
        code, said = await asyncio.to_thread(
            on_a_terminal, database, "dev", "shop:app", "--until-empty"
        )
        assert code == 0, said
        assert "0 running, 1 completed, 1 failed, 0 cancelled" in said
        assert "billing" in said

    async def test_a_table_has_columns(self, database: str, prepared: Shop) -> None:
        job = await prepared.order()
        code, said = await asyncio.to_thread(on_a_terminal, database, "jobs", "list")
        assert code == 0, said
        head, row = said.splitlines()[:2]
        assert row.startswith(job)
        assert head.index("pipeline") == row.index("orders")
