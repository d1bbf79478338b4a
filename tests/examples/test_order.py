"""examples/order runs by one command, and its books are right at the end."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import pytest

RUN = Path(__file__).parent.parent.parent / "examples" / "order" / "run.py"


class TestTheExample:
    @pytest.mark.timeout(180)
    async def test_it_answers_itself_and_ends_with_the_right_books(
        self, database: str, tmp_path: Path
    ):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, RUN, "--answer"),
            cwd=tmp_path,
            env={
                **os.environ,
                "HEADRACE_DATABASE_URL": database,
                "HEADRACE_SIGNING_KEYS": "a-secret-of-the-tests-that-is-long-enough",
                "SHOP_DRIVE_S": "3",
            },
            stdin=asyncio.subprocess.DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
        )
        printed, _ = await process.communicate()
        lines = printed.decode().splitlines()
        assert process.returncode == 0, printed.decode()
        assert lines[-1] == "example ok: orders=3 completed=1 cancelled=2"
        assert "The report of the night: sold for 6.40 EUR" in lines
        assert [line.split() for line in lines if line.endswith((" 1", " 2"))] == [
            ["Ada", "completed", "6.40", "EUR", "delivered", "2"],
            ["Ben", "cancelled", "0.00", "EUR", "none", "1"],
            ["Cleo", "cancelled", "0.00", "EUR", "returned", "1"],
        ]
