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


def on_a_terminal(
    database: str, *arguments: str, folder: Path = FOLDER, typed: str = "", **environment: str
) -> tuple[int, str]:
    """The exit code of a command and all that it wrote to its terminal."""
    ours, theirs = pty.openpty()
    os.write(ours, typed.encode())
    process = subprocess.Popen(
        [sys.executable, "-m", "headrace", *arguments],
        cwd=folder,
        env={
            **os.environ,
            "HEADRACE_DATABASE_URL": database,
            "TERM": "xterm",
            "COLUMNS": "120",
            **environment,
        },
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

    async def test_documents_are_drawn_while_they_go_and_found_passages_wrapped(
        self, documents_database: str, tmp_path: Path
    ) -> None:
        settings = {
            "HEADRACE_DOCUMENTS_FOLDER": str(tmp_path / "library"),
            "HEADRACE_DOCUMENTS_EMBEDDER": "hashing",
        }

        async def run(*arguments: str, **more: str) -> tuple[int, list[str]]:
            code, said = await asyncio.to_thread(
                on_a_terminal,
                documents_database,
                *arguments,
                folder=tmp_path,
                **settings,
                **more,
            )
            return code, said.splitlines()

        (tmp_path / "mill.txt").write_text("The miller opens the green gate at dawn. " * 60)
        (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.7\n")
        code, said = await run("documents", "add", "mill.txt", "broken.pdf")
        assert code == 3, said
        assert any(line.startswith(" ▶ mill.txt") for line in said)
        assert any(line.startswith("failed: broken.pdf: ") for line in said)
        assert said[-1].startswith("2 files: 1 added, 1 failed")
        [row] = [line for line in said if line.endswith("mill.txt") and "added" in line]
        document = row.split()[0]

        code, said = await run("search", "Who opens the gate?", "--limit", "1", COLUMNS="34")
        assert (code, said[0].split()[1:]) == (0, ["mill.txt", "line", "1"])
        assert len(said) == 8  # a passage of six lines, the last of them cut, and an empty one
        assert said[1].startswith("    The miller")
        assert said[6].endswith(" …")

        code, said = await run("documents", "delete", document, typed="n\n")
        assert code == 1
        assert said[-1].endswith("[y/N]: Aborted!")
        code, said = await run("documents", "delete", document, typed="y\n")
        assert code == 0
        assert said[-1].endswith(f"{document} is deleted")
