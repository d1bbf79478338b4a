"""Deaths of the worker while a job begins to wait, waits, and goes on."""

from collections import Counter
from pathlib import Path

import pytest

from tests.engine.conftest import MakeEngine
from tests.waits.looking import bound_children, children_of
from tests.waits.mortal import ALL, FOLDER, parent

MORTAL = "tests.waits.mortal:ALL"
POINTS = [
    ("attempt.after_effect", 1),  # the child is stored, and nobody knows that it is waited for
    ("ledger.change.before", 1),
    ("ledger.change.after_commit", 1),  # the parent waits
    ("claim.after_commit", 3),  # it was woken, and claimed
    ("ledger.finish.before", 2),
]


@pytest.mark.parametrize(("point", "nth"), POINTS, ids=[f"{p} {n}" for p, n in POINTS])
async def test_the_job_ends_once_with_one_child(
    make_engine: MakeEngine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    point: str,
    nth: int,
) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    async with make_engine(ALL) as engine:
        job = await engine.submit(parent, 4)
        assert await job.send("answer", "yes")
        await engine.crash_at(point, app=MORTAL, nth=nth, timeout=40)
        await engine.run_until_empty(40)
        assert await job.result(timeout=10) == "8 yes"
        assert len(await children_of(engine, job)) == 1
        assert await bound_children(engine) == []
        ends = [event for event in await engine.events(job) if event.to_state == "completed"]
        assert len(ends) == 1
    calls = Counter((tmp_path / "calls").read_text().split())
    assert calls.keys() == {"ask", "double", "decide"}
    assert max(calls.values()) <= 2, "only what was cut off is called again"
