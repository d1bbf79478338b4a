"""The files of documents: what was uploaded, and the Markdown that was made of it."""

from __future__ import annotations

import glob
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

SCHEME: Final = "storage://local/"
TRIES: Final = 100


@dataclass(frozen=True, slots=True)
class FileStore:
    """Files in a folder, by addresses that name no place on this machine.

    A file is there whole or not at all, also after a crash, and what was written stays when the
    machine loses power. All processes share the folder.
    """

    folder: Path

    def write(self, address: str, data: bytes, *, synced: bool = True) -> None:
        """Store a file in place of any other at its address.

        Args:
            address: Where.
            data: What.
            synced: Wait for the disk. Else a loss of power may leave the file empty or mixed up.
        """
        path = self._path(address)
        descriptor, name = _open_part(path)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                if synced:
                    file.flush()
                    os.fsync(file.fileno())
            Path(name).replace(path)
            if synced:
                self._sync_folders(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def read(self, address: str) -> bytes:
        """The content of a file.

        Raises:
            FileNotFoundError: There is none; the text says what may be wrong.
        """
        try:
            return self._path(address).read_bytes()
        except FileNotFoundError:
            raise FileNotFoundError(
                f"{address} is not in {self.folder}: every process needs the same "
                "HEADRACE_DOCUMENTS_FOLDER"
            ) from None

    def delete(self, address: str) -> None:
        """Remove a file, and the folders that are empty without it; nothing if there is none.

        What a crash has left of a write of it is removed too.
        """
        path, root = self._path(address), self.folder.resolve()
        path.unlink(missing_ok=True)
        for part in glob.glob(f"{glob.escape(_part_prefix(path))}*", root_dir=path.parent):  # noqa: PTH207 - it passes over a folder that is gone
            (path.parent / part).unlink(missing_ok=True)
        for folder in path.parents:
            if folder == root:
                return
            try:
                folder.rmdir()
            except OSError:  # another document lies there, or it is gone
                return

    def beside(self, beginning: str) -> list[str]:
        """The addresses of the files that begin so, in the folder of that address."""
        path = self._path(beginning)
        names = glob.glob(f"{glob.escape(path.name)}*", root_dir=path.parent)  # noqa: PTH207 - as above
        folder = beginning.rpartition("/")[0]
        return [f"{folder}/{name}" for name in names]

    def _path(self, address: str) -> Path:
        path = (self.folder / address.removeprefix(SCHEME)).resolve()
        if not (address.startswith(SCHEME) and path.is_relative_to(self.folder.resolve())):
            raise ValueError(f"{address!r} is no address of a file here")
        return path

    def _sync_folders(self, path: Path) -> None:
        """Let a new name last, and those of new folders: syncing the file does not do that."""
        for folder in path.relative_to(self.folder.resolve()).parents:
            try:
                descriptor = os.open(self.folder / folder, os.O_RDONLY)
            except FileNotFoundError:  # a deletion came at once: nothing is left that should last
                continue
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def raw_address(tenant: str, owner: str, document: str, suffix: str) -> str:
    """Where the uploaded file of a document lies."""
    return f"{SCHEME}raw/{_part(tenant)}/{_part(owner)}/{document}{suffix}"


def parsed_address(tenant: str, owner: str, document: str) -> str:
    """Where the Markdown of a document lies."""
    return f"{SCHEME}parsed/{_part(tenant)}/{_part(owner)}/{document}.md"


def _open_part(path: Path) -> tuple[int, str]:
    """A new file beside a path, that will be moved there."""
    for _ in range(TRIES - 1):
        try:
            return _make_part(path)
        except (FileNotFoundError, FileExistsError):
            continue  # a deletion has just removed the folder, which was empty
    return _make_part(path)


def _make_part(path: Path) -> tuple[int, str]:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return tempfile.mkstemp(dir=path.parent, prefix=_part_prefix(path))


def _part_prefix(path: Path) -> str:
    return f".part-{path.name}-"


def _part(name: str) -> str:
    """A tenant or an owner, whatever it is called, as one name of a folder."""
    return quote(name, safe="").replace(".", "%2E")
