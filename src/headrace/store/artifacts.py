"""Outputs that are too large for the database: files whose references are checkpoints.

An intent row is committed before the bytes are written, and the reference with the checkpoint after
it, so bytes without a reference are found and removed a day later. A path is used once: a worker
that was declared dead and wakes writes beside its successor, never over it.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import quote

import orjson
from uuid_utils import uuid7

from headrace.errors import CheckpointCorruptError, OutputTooLargeError
from headrace.store.sql import SQL

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from uuid import UUID

    from headrace.store.connections import Connections
    from headrace.store.pool import Connection

MOST_BYTES: Final = 100 * 1024 * 1024
LONGEST_NAME: Final = 100
"""Of a file name made from a step's or item's; file systems take 255 bytes."""


@dataclass(frozen=True, slots=True)
class ArtifactKey:
    """Whose output it is. `name` is that of a `once` record, empty for a step's own output."""

    job: UUID
    run: int
    step: str
    item: str
    token: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class ArtifactReference:
    """What is stored in place of the output."""

    path: str
    bytes: int
    sha256: str

    def to_json(self) -> str:
        """The reference for a column `artifact`."""
        return orjson.dumps(asdict(self)).decode()

    @classmethod
    def from_json(cls, text: str) -> ArtifactReference:
        """The reference in a column `artifact`.

        Raises:
            CheckpointCorruptError: It is none.
        """
        try:
            return cls(**orjson.loads(text))
        except (ValueError, TypeError) as error:
            raise CheckpointCorruptError(text[:100], "the reference cannot be read") from error


class ArtifactStore(Protocol):
    """Keeps outputs; nothing it takes is ever changed."""

    async def write(self, key: ArtifactKey, text: str) -> str:
        """Store an output; durable when it returns.

        Returns:
            The reference, as it is stored in a column `artifact`.

        Raises:
            OutputTooLargeError: It is larger than this store takes; nothing was stored.
            DatabaseUnavailableError: The intent could not be stored; nothing was.
            OSError: The bytes could not be stored.
        """

    async def read(self, reference: str) -> str:
        """The output, exactly as it was written.

        Raises:
            CheckpointCorruptError: It is missing or changed.
        """

    async def delete(self, paths: Sequence[str]) -> None:
        """Remove outputs; one that is gone is no error."""


class FolderArtifacts:
    """Artifacts as files in a folder that all workers see."""

    def __init__(
        self, folder: Path, connections: Connections, *, most_bytes: int = MOST_BYTES
    ) -> None:
        """Nothing is touched yet; the folder is made with the first artifact.

        Args:
            folder: Where they lie.
            connections: Where intents are stored.
            most_bytes: The largest artifact.
        """
        self._folder, self._connections, self._most_bytes = folder, connections, most_bytes

    async def write(self, key: ArtifactKey, text: str) -> str:
        """As `ArtifactStore.write`."""
        data = text.encode()
        if len(data) > self._most_bytes:
            raise OutputTooLargeError(len(data), self._most_bytes)
        sha256 = await asyncio.to_thread(_sha256, data)
        reference = ArtifactReference(_path_of(key), len(data), sha256)
        async with self._connections.use() as connection:
            await _store_intent(connection, key, reference)
        await asyncio.to_thread(_write_durably, self._folder, reference.path, data)
        return reference.to_json()

    async def read(self, reference: str) -> str:
        """As `ArtifactStore.read`."""
        wanted = ArtifactReference.from_json(reference)
        return await asyncio.to_thread(_read_verified, self._folder, wanted)

    async def delete(self, paths: Sequence[str]) -> None:
        """As `ArtifactStore.delete`."""
        for path in paths:
            await asyncio.to_thread(_remove, self._folder, path)


async def _store_intent(
    connection: Connection, key: ArtifactKey, reference: ArtifactReference
) -> None:
    await connection.execute(
        SQL["artifacts.insert_intent"],
        reference.path,
        key.job,
        key.run,
        key.step,
        key.item,
        key.token,
        reference.bytes,
        reference.sha256,
    )


def _path_of(key: ArtifactKey) -> str:
    names = [_file_name(part) for part in (key.step, key.item, key.name) if part]
    return "/".join((str(key.job), str(key.run), *names, f"{key.token}-{uuid7().hex}.json"))


def _file_name(name: str) -> str:
    """A name that is safe in every file system; one that is long gives way to its hash."""
    quoted = quote(name, safe="")
    if len(quoted) > LONGEST_NAME:
        quoted = hashlib.sha256(name.encode()).hexdigest()
    return f"_{quoted}"  # never `.` or `..`


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _write_durably(folder: Path, path: str, data: bytes) -> None:
    """The file is there whole or not at all, also after a power cut."""
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(".tmp")
    with temporary.open("xb") as output:
        output.write(data)
        output.flush()
        os.fsync(output.fileno())
    temporary.rename(file)
    for parent in file.parents:  # folders that were made for it have to be found again too
        _sync_folder(parent)
        if parent == folder:
            return


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_verified(folder: Path, reference: ArtifactReference) -> str:
    try:
        data = _inside(folder, reference.path).read_bytes()
    except FileNotFoundError as error:
        raise CheckpointCorruptError(reference.path, "the file is missing") from error
    if len(data) != reference.bytes:
        reason = f"it has {len(data):,} bytes in place of {reference.bytes:,}"
        raise CheckpointCorruptError(reference.path, reason)
    if _sha256(data) != reference.sha256:
        raise CheckpointCorruptError(reference.path, "its bytes are not those that were stored")
    return data.decode()


def _remove(folder: Path, path: str) -> None:
    file = _inside(folder, path)
    file.unlink(missing_ok=True)
    file.with_suffix(".tmp").unlink(missing_ok=True)
    for parent in file.parents:
        if parent == folder or not parent.is_relative_to(folder):
            return
        try:
            parent.rmdir()
        except OSError:  # others lie in it, or it is gone
            return


def _inside(folder: Path, path: str) -> Path:
    file = folder / path
    if not file.resolve().is_relative_to(folder.resolve()):
        raise CheckpointCorruptError(path, "it leads out of the artifact folder")
    return file
