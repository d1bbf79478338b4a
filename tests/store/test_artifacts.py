import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest

from headrace.errors import CheckpointCorruptError, DatabaseUnavailableError, OutputTooLargeError
from headrace.store.artifacts import ArtifactKey, FolderArtifacts
from headrace.store.connections import Connections
from headrace.store.pool import connect

JOB = UUID("0199b4e0-0000-7000-8000-000000000001")
KEY = ArtifactKey(JOB, 1, "render", "intro", 7)
TEXT = '{"frames": ["é", 2]}'


@pytest.fixture
async def connections(database: str) -> AsyncIterator[Connections]:
    connections = Connections(lambda: connect(database))
    yield connections
    await connections.close()


@pytest.fixture
def artifacts(connections: Connections, tmp_path: Path) -> FolderArtifacts:
    return FolderArtifacts(tmp_path / "artifacts", connections)


def file_of(tmp_path: Path, reference: str) -> Path:
    return tmp_path / "artifacts" / str(json.loads(reference)["path"])


class TestWrite:
    async def test_what_was_written_is_read(self, artifacts: FolderArtifacts) -> None:
        assert await artifacts.read(await artifacts.write(KEY, TEXT)) == TEXT

    async def test_an_intent_with_the_place_is_stored(
        self, artifacts: FolderArtifacts, connections: Connections
    ) -> None:
        reference = json.loads(await artifacts.write(KEY, TEXT))
        async with connections.use() as connection:
            row = await connection.fetchrow("select * from headrace.artifacts")
        assert row is not None
        assert {name: row[name] for name in reference} == reference
        assert (row["job"], row["run"], row["step"], row["item"], row["token"]) == (
            JOB, 1, "render", "intro", 7,
        )  # fmt: skip

    async def test_a_path_is_never_used_twice(
        self, artifacts: FolderArtifacts, tmp_path: Path
    ) -> None:
        one, other = await asyncio.gather(artifacts.write(KEY, "1"), artifacts.write(KEY, "2"))
        assert file_of(tmp_path, one) != file_of(tmp_path, other)
        assert (await artifacts.read(one), await artifacts.read(other)) == ("1", "2")

    async def test_names_cannot_lead_out_of_the_folder(self, artifacts: FolderArtifacts) -> None:
        for item in ("..", "../../x", "/etc/passwd", "a" * 200, "é" * 200, "con:\\"):
            reference = await artifacts.write(ArtifactKey(JOB, 1, "render", item, 7), TEXT)
            path = json.loads(reference)["path"]
            assert path.startswith(f"{JOB}/1/_render/_")
            assert ".." not in path.split("/")
            assert all(len(name) < 255 for name in path.split("/"))
            assert await artifacts.read(reference) == TEXT

    async def test_one_over_the_limit_is_refused(
        self, connections: Connections, tmp_path: Path
    ) -> None:
        artifacts = FolderArtifacts(tmp_path, connections, most_bytes=10)
        await artifacts.write(KEY, "x" * 10)
        with pytest.raises(OutputTooLargeError):
            await artifacts.write(KEY, "é" * 6)

    async def test_nothing_is_written_without_its_intent(
        self, connections: Connections, artifacts: FolderArtifacts, tmp_path: Path
    ) -> None:
        await connections.close()
        with pytest.raises(DatabaseUnavailableError):
            await artifacts.write(KEY, TEXT)
        assert not (tmp_path / "artifacts").exists()


class TestRead:
    @pytest.mark.parametrize("content", ["", TEXT[:-1], TEXT.replace("2", "3")])
    async def test_bytes_that_changed_are_an_error(
        self, artifacts: FolderArtifacts, tmp_path: Path, content: str
    ) -> None:
        reference = await artifacts.write(KEY, TEXT)
        file_of(tmp_path, reference).write_text(content, encoding="utf-8")
        with pytest.raises(CheckpointCorruptError) as raised:
            await artifacts.read(reference)
        assert raised.value.code == "CHECKPOINT_CORRUPT"

    async def test_a_missing_file_is_an_error(
        self, artifacts: FolderArtifacts, tmp_path: Path
    ) -> None:
        reference = await artifacts.write(KEY, TEXT)
        file_of(tmp_path, reference).unlink()
        with pytest.raises(CheckpointCorruptError, match="missing"):
            await artifacts.read(reference)

    async def test_a_reference_that_is_none_is_an_error(self, artifacts: FolderArtifacts) -> None:
        outside = json.dumps({"path": "../secret", "bytes": 1, "sha256": "0"})
        for reference in ("{}", "no", "[]", outside):
            with pytest.raises(CheckpointCorruptError):
                await artifacts.read(reference)


class TestDelete:
    async def test_files_and_empty_folders_go(
        self, artifacts: FolderArtifacts, tmp_path: Path
    ) -> None:
        kept = await artifacts.write(KEY, TEXT)
        gone = [await artifacts.write(ArtifactKey(JOB, 2, "render", "", 8), TEXT) for _ in "ab"]
        paths = [json.loads(reference)["path"] for reference in gone]
        await artifacts.delete(paths)
        await artifacts.delete(paths)
        assert await artifacts.read(kept) == TEXT
        assert not (tmp_path / "artifacts" / str(JOB) / "2").exists()
        await artifacts.delete([json.loads(kept)["path"]])
        assert list((tmp_path / "artifacts").iterdir()) == []
