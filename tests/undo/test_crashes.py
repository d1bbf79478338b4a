"""Workers that die while they undo: all is undone in order, and what is stored not again."""

from collections import Counter
from pathlib import Path

import pytest

from headrace.testing import Engine
from tests.undo.conftest import MakeEngine
from tests.undo.mortal import ALL, FOLDER, mortal
from tests.undo.shop import undone

MORTAL = "tests.undo.mortal:ALL"
UNDONE = ["third=7", "item=4/2", "item=3/1", "first=2"]
POINTS = [
    # Four steps and items are done before. The end of the job stores its undo job: a change.
    ("attempt.after_effect", 7),
    ("ledger.change.after_commit", 2),
    ("ledger.finish.before", 1),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the steps of all processes write down what they do."""
    monkeypatch.setenv(FOLDER, str(tmp_path))
    return tmp_path


class TestDeath:
    @pytest.mark.parametrize(("point", "nth"), POINTS, ids=[f"{p} {n}" for p, n in POINTS])
    async def test_all_is_undone_in_order_and_once_where_it_is_stored(
        self, make_engine: MakeEngine, folder: Path, point: str, nth: int
    ):
        async with make_engine(ALL) as engine:
            job = await engine.submit(mortal, 2)
            await engine.crash_at(point, app=MORTAL, nth=nth)
            before = lines(folder)
            stored = await stored_undos(engine)
            undo = await undone(engine, job)
            assert [step.name for step in undo.steps] == ["third", "item", "first"]
            assert len(await engine.jobs()) == 2
        after = lines(folder)[len(before) :]
        assert not {line.partition("=")[0] for line in after if "item" not in line} & stored
        assert list(dict.fromkeys(line.split(" ")[0] for line in lines(folder))) == UNDONE
        assert max(Counter(lines(folder)).values()) <= 2, "at most twice, under the same key"
        assert len(set(lines(folder))) == len(UNDONE)


async def stored_undos(engine: Engine) -> set[str]:
    """The steps whose undo is stored."""
    async with engine.connection() as connection:
        rows = await connection.fetch(
            "select step from headrace.steps where step like '%.undo' and state = 'completed'"
        )
    return {row["step"].removesuffix(".undo") for row in rows}


def lines(folder: Path) -> list[str]:
    path = folder / "effects"
    return path.read_text().splitlines() if path.exists() else []
