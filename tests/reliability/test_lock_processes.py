"""A process that was frozen while it held a lock finds it taken, and what it guards closed."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from headrace import Headrace
from tests.proof.guard import Guard, read_guard
from tests.reliability.lock_holder import KEY
from tests.waiting import eventually

ROOT = Path(__file__).parents[2]


class TestFrozenHolders:
    async def test_its_lock_goes_on_at_the_end_of_its_lease_and_its_writes_are_refused(
        self, database: str, tmp_path: Path
    ) -> None:
        module = "tests.reliability.lock_holder"
        frozen = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, database, str(tmp_path),
            cwd=ROOT, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            await eventually(lambda: read_guard(tmp_path), within=30)
            frozen.send_signal(signal.SIGSTOP)
            async with (
                Headrace([], database=database) as app,
                app.lock(KEY, tenant="default", wait=30) as lock,
            ):
                assert Guard(tmp_path).write(KEY, lock.token)
                frozen.send_signal(signal.SIGCONT)
                said, _ = await frozen.communicate()
                assert Guard(tmp_path).write(KEY, lock.token)
        finally:
            if frozen.returncode is None:
                frozen.kill()
                await frozen.wait()
        assert said.split() == [b"refused", b"lost"]
        written = read_guard(tmp_path)
        taken = [one.token for one in written if one.accepted]
        assert taken == sorted(taken)
        assert [one.token for one in written if not one.accepted] == [taken[0]]
