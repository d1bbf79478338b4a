"""A worker dies at each write of an ingestion, before and after its commit; another one goes on."""

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest

from headrace import JobHandle
from headrace.pipelines.documents import Ingested, Library, Stage
from headrace.testing import Engine
from tests.documents.conftest import FOLDER, SETTINGS
from tests.documents.trial import LOG, Trial
from tests.documents.write_points import WritePoints, die
from tests.documents.writing import markdown
from tests.waiting import eventually

TENANT: Final = "crashes"
QUESTION: Final = "Which part of a book?"
TEXT: Final = markdown("crashes", 6).encode()
CHUNKER: Final = "HEADRACE_DOCUMENTS_CHUNKER"


class Reader:
    """Looks at a document again and again, as searches do, and notes each set of chunks it saw."""

    def __init__(self, library: Library, document: str) -> None:
        self._library, self._document = library, document
        self.seen: Counter[frozenset[str]] = Counter()

    async def run(self) -> None:
        while True:
            hits = await self._library.search(QUESTION, limit=100, tenant=TENANT)
            self.seen[frozenset(hit.chunk for hit in hits)] += 1
            self.seen[await self.look()] += 1
            await asyncio.sleep(0.01)

    async def look(self) -> frozenset[str]:
        chunks = await self._library.chunks(self._document, tenant=TENANT, limit=1_000)
        return frozenset(chunk.id for chunk in chunks)


async def stored_texts(engine: Engine, job: JobHandle[Ingested], document: str) -> set[str]:
    """The texts of the batches that have a record."""
    names = [record.name for record in await engine.records(job)]
    spans = [tuple(map(int, name.removeprefix("batch ").split("-"))) for name in names]
    async with engine.connection() as connection:
        rows = await connection.fetch(
            "select ordinal, text from headrace_documents.chunks where document = $1"
            " and generation = (select max(generation) from headrace_documents.chunks)",
            document,
        )
    return {row["text"] for row in rows if any(a <= row["ordinal"] <= b for a, b in spans)}


def embedded_by(log: Path) -> tuple[list[str], list[str]]:
    """The texts whose embedding began and ended in the process that died."""
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    began, ended = ([t for x in lines if x["what"] == what for t in x["texts"]]
                    for what in ("begin", "end"))  # fmt: skip
    return began, ended


class Change:
    """What the second ingestion does otherwise: its text is split in another way."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log = folder / "calls"
        self._monkeypatch = monkeypatch

    def begin(self) -> dict[str, str]:
        """For the step processes of this process; what the worker that dies is given."""
        self._monkeypatch.setenv(CHUNKER, "markdown-simple@1")
        return {**SETTINGS, LOG: str(self.log)}


@pytest.fixture
def change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Change:
    return Change(tmp_path, monkeypatch)


def files() -> list[Path]:
    return list(FOLDER.glob(f"*/{TENANT}/default/*"))


async def left(engine: Engine, query: str, *arguments: object) -> list[Any]:
    async with engine.connection() as connection:
        return [row[0] for row in await connection.fetch(query, *arguments)]


POINTS: Final = (
    "claim", "parse", "validate", "split", "chunk", "first batch", "last batch", "embed", "store",
    "finalize", "end",
)  # fmt: skip
REPRESENTATIVE: Final = [(5, True), (6, False), (6, True), (9, False)]
ALL: Final = [(nth, commit) for nth in range(1, len(POINTS) + 1) for commit in (False, True)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "death" in metafunc.fixturenames:
        is_full = metafunc.config.getoption("--every-write-point", default=False)
        points = ALL if is_full else REPRESENTATIVE
        names = [f"{POINTS[nth - 1]} {'stored' if commit else 'undone'}" for nth, commit in points]
        metafunc.parametrize("death", points, ids=names)


class TestDeathAtAWrite:
    async def test_the_next_worker_brings_it_to_its_end_and_repeats_nothing_that_is_stored(
        self,
        engine: Engine,
        library: Library,
        trial: Trial,
        change: Change,
        death: tuple[int, bool],
    ):
        nth, commit = death
        await library.add(TEXT, name="crash.md", tenant=TENANT)
        await engine.run_until_empty(40)
        points = WritePoints(engine)
        await points.install()
        added = await library.add(TEXT, name="crash.md", tenant=TENANT, again=True)
        reader = Reader(library, added.document)
        old = await reader.look()
        trial.calls.clear()
        environment = change.begin()
        watching = asyncio.create_task(reader.run())
        async with (
            points.armed(nth),
            engine.spawn(
                "headrace.pipelines.documents:documents", concurrency=1, environment=environment
            ) as process,
        ):
            assert await die(engine, points, process, commit=commit), "it has fewer writes"
        stored = await stored_texts(engine, added.job, added.document)
        await engine.run_until_empty(40)
        new = await reader.look()
        await eventually(lambda: reader.seen[new])
        watching.cancel()

        result = await added.job.result()
        assert reader.seen.keys() <= {old, new}, "search saw neither the old nor the new"
        assert result.generation == 2
        assert new.isdisjoint(old)
        await self.check_rows(engine, new)
        status = await library.document(added.document, tenant=TENANT)
        assert (status.stage, status.progress) == (Stage.COMPLETE, 100)
        assert status.embeds_done == status.embeds_total == result.chunks == status.chunks_done
        ends = [e for e in await engine.events(added.job) if e.to_state == "completed"]
        assert len(ends) == 1
        self.check_calls(trial, change.log, stored, result)
        assert sorted(path.suffix for path in files()) == [
            ".json", ".md", ".md",
        ]  # fmt: skip

    async def check_rows(self, engine: Engine, new: frozenset[str]) -> None:
        chunks = await left(engine, "select id::text from headrace_documents.chunks")
        vectors = await left(engine, "select chunk::text from headrace_documents.vectors")
        assert sorted(chunks) == sorted(vectors) == sorted(new)
        assert await left(engine, "select distinct generation from headrace_documents.chunks") == [
            2
        ]

    def check_calls(self, trial: Trial, log: Path, stored: set[str], result: Ingested) -> None:
        again = trial.texts
        began, ended = embedded_by(log)
        assert not stored & set(again), "a batch that is stored was embedded again"
        assert stored <= set(ended)
        repeated = set(began) & set(again)
        assert len(repeated) <= 4, "more than the batch in flight was embedded again"
        assert len(set(again)) == len(again)
        assert len(began) + len(again) - len(repeated) == result.chunks == result.embedded


class TestThePoints:
    async def test_the_list_has_all_writes_of_an_ingestion(self, engine: Engine, library: Library):
        points = WritePoints(engine)
        await points.install()
        added = await library.add(TEXT, name="crash.md", tenant=TENANT)
        async with points.armed(0):
            await engine.run_until_empty(40)
            result = await added.job.result()
            batches = len(await engine.records(added.job))
            assert (result.chunks, batches) == (7, 2)
            assert await points.count() == len(POINTS)
