"""Documents on their way out, whole and for good."""

import asyncio
from pathlib import Path

import pytest

from headrace import JobState
from headrace.pipelines.documents import (
    DocumentNotFoundError,
    FileRefusedError,
    Library,
    Stage,
)
from headrace.testing import Engine
from tests.documents.blocked import Blocked
from tests.documents.trial import Trial
from tests.documents.writing import markdown
from tests.waiting import eventually


async def rows(engine: Engine) -> dict[str, int]:
    """How many rows of each table there are."""
    async with engine.connection() as connection:
        return {
            table: await connection.fetchval(f"select count(*) from headrace_documents.{table}")  # noqa: S608
            for table in ("documents", "chunks", "vectors")
        }


NOTHING = {"documents": 0, "chunks": 0, "vectors": 0}


def everything(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def files_of(folder: Path, tenant: str) -> list[Path]:
    return [path for kind in ("raw", "parsed") for path in (folder / kind / tenant).rglob("*")]


async def is_embedding(library: Library, document: str) -> bool:
    status = await library.document(document, tenant="midway")
    return status.stage is Stage.EMBEDDING_IN_PROGRESS


class TestDeletion:
    async def test_it_leaves_nothing_and_the_same_content_can_come_again(
        self, engine: Engine, library: Library, folder: Path, trial: Trial
    ):
        data = markdown("gone").encode()
        whose = {"tenant": "gone", "owner": "ann"}
        added = await library.add(data, name="gone.md", **whose)
        await engine.run_until_empty(40)
        assert files_of(folder, "gone")
        await library.delete(added.document, **whose)
        assert await rows(engine) == NOTHING
        assert not (folder / "raw" / "gone").exists()
        assert not (folder / "parsed" / "gone").exists()
        assert await library.search("book of gone", **whose) == []
        with pytest.raises(DocumentNotFoundError):
            await library.document(added.document, **whose)
        trial.calls.clear()
        again = await library.add(data, name="gone.md", **whose)
        assert (again.is_new, again.document) == (True, added.document)
        await engine.run_until_empty(40)
        result = await again.job.result()
        assert not result.parse_reused
        assert len(trial.texts) == result.chunks == result.embedded

    async def test_it_is_only_for_its_owner(self, engine: Engine, library: Library):
        added = await library.add(markdown("mine", 2).encode(), name="mine.md", owner="ann")
        for whose in ({"owner": "bob"}, {"tenant": "other", "owner": "ann"}):
            with pytest.raises(DocumentNotFoundError):
                await library.delete(added.document, **whose)
        assert (await rows(engine))["documents"] == 1
        with pytest.raises(DocumentNotFoundError):
            await library.delete("no id")

    async def test_before_its_job_began_the_job_is_cancelled(
        self, engine: Engine, library: Library, folder: Path
    ):
        added = await library.add(markdown("early").encode(), name="early.md", tenant="early")
        await library.delete(added.document, tenant="early")
        assert (await engine.job(added.job)).state is JobState.CANCELLED
        await engine.run_until_empty()
        assert await rows(engine) == NOTHING
        assert files_of(folder, "early") == []

    async def test_a_file_that_could_not_be_read_is_deleted_too(
        self, engine: Engine, library: Library, folder: Path
    ):
        added = await library.add(b"<html><body> </body></html>", name="e.html", tenant="unread")
        await engine.run_until_empty(40)
        status = await library.document(added.document, tenant="unread")
        assert status.stage is Stage.FAILED_PARSE
        await library.delete(added.document, tenant="unread")
        assert await rows(engine) == NOTHING
        assert files_of(folder, "unread") == []

    async def test_content_that_came_under_two_kinds_of_name_leaves_no_file(
        self, engine: Engine, library: Library, folder: Path
    ):
        await library.add(b"# A text\n", name="first.txt", tenant="kinds")
        await engine.run_until_empty(40)
        again = await library.add(b"# A text\n", name="second.md", tenant="kinds", again=True)
        status = await library.document(again.document, tenant="kinds")
        assert (status.name, status.kind) == ("second.md", "markdown")
        await engine.run_until_empty(40)
        await library.delete(again.document, tenant="kinds")
        assert await rows(engine) == NOTHING
        assert files_of(folder, "kinds") == []

    async def test_during_ingestion_nothing_comes_back(
        self, engine: Engine, library: Library, folder: Path, trial: Trial
    ):
        added = await library.add(markdown("midway").encode(), name="midway.md", tenant="midway")
        trial.gate.clear()
        async with engine.worker():
            await eventually(lambda: is_embedding(library, added.document), within=20)
            await library.delete(added.document, tenant="midway")
            trial.gate.set()
            await engine.run_until_empty(40)
        assert (await engine.job(added.job)).state is JobState.CANCELLED
        assert await rows(engine) == NOTHING
        assert files_of(folder, "midway") == []

    async def test_while_it_is_parsed_the_parser_leaves_no_file(
        self, engine: Engine, library: Library, folder: Path
    ):
        added = await library.add(b"# A text\n", name="parsed.md", tenant="parsing")
        blocked = Blocked(added.document, tenant="parsing")
        async with engine.worker():
            await eventually(blocked.has_reader, within=20)
            await library.delete(added.document, tenant="parsing")
            assert (await engine.job(added.job)).state is JobState.CANCELLED
            assert await rows(engine) == NOTHING
        blocked.close()
        assert files_of(folder, "parsing") == []

    async def test_cut_off_before_the_files_were_removed_it_can_be_repeated(
        self, engine: Engine, library: Library, folder: Path
    ):
        added = await library.add(markdown("cut").encode(), name="cut.md", tenant="cut")
        await engine.run_until_empty(40)
        async with engine.connection() as connection:  # what the first transaction leaves
            await connection.execute(
                "update headrace_documents.documents set deleting = true, current_generation = null"
            )
        assert await library.search("book of cut", tenant="cut") == []
        assert (await library.documents(tenant="cut")).documents == []
        with pytest.raises(DocumentNotFoundError):
            await library.document(added.document, tenant="cut")
        await library.delete(added.document, tenant="cut")
        assert await rows(engine) == NOTHING
        assert files_of(folder, "cut") == []

    async def test_adding_the_same_content_ends_a_deletion_that_was_cut_off(
        self, engine: Engine, library: Library
    ):
        data = markdown("back").encode()
        await library.add(data, name="back.md")
        await engine.run_until_empty(40)
        async with engine.connection() as connection, connection.transaction():
            await connection.execute("update headrace_documents.documents set deleting = true")
            await connection.execute("delete from headrace_documents.chunks")
            await connection.execute("delete from headrace_documents.vectors")
        again = await library.add(data, name="back.md")
        assert again.is_new
        await engine.run_until_empty(40)
        assert (await again.job.result()).generation == 1
        assert (await library.document(again.document)).stage is Stage.COMPLETE

    async def test_deletions_and_additions_at_once_end_in_one_of_both(
        self, engine: Engine, library: Library, folder: Path
    ):
        data = markdown("race", 2).encode()

        async def add() -> None:
            await library.add(data, name="race.md", tenant="race")

        async def delete() -> None:
            found = (await library.documents(tenant="race")).documents
            for document in found:
                try:
                    await library.delete(document.id, tenant="race")
                except DocumentNotFoundError:
                    continue

        async with engine.worker():
            for _ in range(5):
                await asyncio.gather(add(), delete(), add(), delete(), delete(), add())
            await add()
            await engine.run_until_empty(40)
        shown = (await library.documents(tenant="race")).documents
        assert [document.stage for document in shown] == [Stage.COMPLETE]
        assert await library.search("book of race", tenant="race")
        await delete()
        assert await rows(engine) == NOTHING
        assert files_of(folder, "race") == []


class TestRefusal:
    @pytest.mark.parametrize("whose", [{"tenant": ""}, {"owner": "a\0b"}, {"owner": "x" * 201}])
    async def test_an_owner_that_cannot_be_stored_leaves_nothing(
        self, engine: Engine, library: Library, folder: Path, whose: dict[str, str]
    ):
        before = everything(folder)
        with pytest.raises(Exception, match="printable text"):
            await library.add(b"# Some text\n", name="a.md", **whose)
        assert await rows(engine) == NOTHING
        assert everything(folder) == before

    async def test_a_refused_file_leaves_nothing(
        self, engine: Engine, library: Library, folder: Path
    ):
        before = everything(folder)
        for data, name in ((b"", "a.md"), (b"\x7fELF\2\1\1\0" * 9, "a.md"), (b"text", "x" * 121)):
            with pytest.raises(FileRefusedError):
                await library.add(data, name=name)
        with pytest.raises(FileRefusedError, match="send it again"):
            await library.add(b"# Some text\n", name="a.md", sha256="0" * 64)
        assert await rows(engine) == NOTHING
        assert everything(folder) == before
