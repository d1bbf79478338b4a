"""The crash run in small: all durations 15 times shorter, from a fixed seed."""

from pathlib import Path

import pytest

from tests.crash.faults import Doses
from tests.crash.run import SCALED, CrashRun, Options

OPTIONS = Options(
    seed=7,
    doses=Doses(kills=6, freezes=3, restarts=1, outages=1, stops=2, network=5, conflicts=1),
    seconds=16.0,
    scale=SCALED,
    workers=3,
    poison=1,
    measure=False,
)


@pytest.mark.timeout(300)
async def test_no_fault_breaks_an_invariant(crash_folder: Path) -> None:
    said: list[str] = []
    verdict = await CrashRun(OPTIONS, crash_folder, said.append).run()
    assert not verdict.violations, "\n".join(
        [str(crash_folder), *said, *map(str, verdict.violations)]
    )
    assert verdict.counts["completed"] > 30
    assert verdict.counts["workers lost"] > 0
