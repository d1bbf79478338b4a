"""examples/pubsub runs by one command."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "pubsub" / "run.py"


class TestTheExample:
    @pytest.mark.timeout(180)
    async def test_every_order_has_one_result_however_it_came(self, database: str, tmp_path: Path):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, EXAMPLE, "--jobs", "40"),
            cwd=tmp_path,
            env={**os.environ, "HEADRACE_DATABASE_URL": database},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
        )
        printed, _ = await process.communicate()
        assert process.returncode == 0, printed.decode()
        assert printed.decode().splitlines()[-1] == "example ok: jobs=40 results=40"
