"""That the demo's proof finds what it is there to find."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from headrace.demo.desk import FOLDER_VARIABLE, LOG_NAME
from headrace.demo.pipeline import Document, documents
from headrace.demo.proof import Proof, prove
from headrace.demo.steplog import StepLog
from headrace.testing import Engine

KILLED = 1
"""No worker has the number of the process that the tests call killed."""


@dataclass
class Scene:
    database: str
    folder: Path

    @property
    def lines(self) -> list[dict[str, object]]:
        text = (self.folder / LOG_NAME).read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]

    def rewrite(self, lines: list[dict[str, object]]) -> None:
        text = "".join(f"{json.dumps(line)}\n" for line in lines)
        (self.folder / LOG_NAME).write_text(text, encoding="utf-8")

    async def prove(self) -> Proof:
        return await prove(self.database, StepLog(self.folder), KILLED)


@pytest.fixture
async def scene(
    tmp_path: Path, database_server: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Scene]:
    """A finished run over one file, of two sections, and a broken one."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    good, broken = tmp_path / "good.md", tmp_path / "broken.md"
    good.write_text("# One\n\n# Two\n", encoding="utf-8")
    broken.write_bytes(b"\0")
    async with Engine([documents], server=database_server) as engine:
        files = [Document(path.name, str(path)) for path in (good, broken)]
        await engine.submit_many(documents, files)
        await engine.run_until_empty()
        yield Scene(engine.database, tmp_path)


class TestProof:
    async def test_a_run_in_which_all_is_well(self, scene: Scene) -> None:
        proof = await scene.prove()
        assert proof.problems == []
        assert (proof.stored, proof.kept, proof.repeated) == (5, 0, 0)

    async def test_what_the_killed_worker_had_only_begun_may_run_again(self, scene: Scene) -> None:
        lines = scene.lines
        scene.rewrite([{**lines[0], "process": KILLED}, *lines])
        proof = await scene.prove()
        assert proof.problems == []
        assert proof.repeated == 1

    async def test_a_finished_step_that_another_worker_starts_is_found(self, scene: Scene) -> None:
        lines = scene.lines
        scene.rewrite([*lines, {**lines[0], "process": 2}])
        [problem] = (await scene.prove()).problems
        assert "started again by process 2" in problem

    async def test_a_finished_step_that_its_own_worker_starts_is_found(self, scene: Scene) -> None:
        lines = scene.lines
        scene.rewrite([*lines, lines[0]])
        [problem] = (await scene.prove()).problems
        assert "started it 2 times" in problem

    async def test_a_stored_step_that_never_started_is_found(self, scene: Scene) -> None:
        scene.rewrite([line for line in scene.lines if line["step"] != "gather"])
        [problem] = (await scene.prove()).problems
        assert "started it 0 times" in problem

    async def test_work_that_came_to_nothing_is_found(self, scene: Scene) -> None:
        lines = scene.lines
        scene.rewrite([*lines, {**lines[0], "step": "dream"}])
        [problem] = (await scene.prove()).problems
        assert "neither stored nor failed" in problem
