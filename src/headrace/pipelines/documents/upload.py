"""A file on its way in: what is checked before anything is stored."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headrace import UserError
from headrace.pipelines.documents.errors import (
    FileKindError,
    FileRefusedError,
    FileTooLargeError,
)
from headrace.pipelines.documents.files import raw_address
from headrace.pipelines.documents.ids import checked_name, document_id
from headrace.pipelines.documents.model import Document
from headrace.pipelines.documents.parsing import kind_of
from headrace.pipelines.documents.parsing.errors import UnsupportedFileError

if TYPE_CHECKING:
    from headrace.pipelines.documents.parsed import Owner


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that is accepted."""

    document: Document
    data: bytes
    address: str
    """Where it will lie."""


def read_upload(
    file: Path | bytes, owner: Owner, *, name: str | None, sha256: str | None, most_bytes: int
) -> Upload:
    """Read and check a file.

    Args:
        file: The content, or where it is.
        owner: Whose it will be.
        name: What it is called; that of the path if left out.
        sha256: What the sender says the hash of the content is, 64 hexadecimal digits.
        most_bytes: The size that is accepted.

    Raises:
        FileRefusedError: It is not accepted; the text says why, and what is.
    """
    try:
        shown = checked_name(name or (file.name if isinstance(file, Path) else "document"))
        data = _content(file, shown, most_bytes)
        found = hashlib.sha256(data).hexdigest()
        if sha256 is not None and sha256.lower() != found:
            raise FileRefusedError(
                f"{shown} has the sha256 {found}, not {sha256[:64]}: send it again"
            )
        kind = kind_of(data, shown)
    except UnsupportedFileError as error:
        raise FileKindError(str(error)) from error
    except UserError as error:
        raise FileRefusedError(str(error)) from error
    key = document_id(owner.tenant, owner.name, found)
    document = Document(key, shown, kind, found)
    return Upload(document, data, raw_address(owner.tenant, owner.name, key, kind.suffix))


def _content(file: Path | bytes, name: str, most: int) -> bytes:
    try:
        if isinstance(file, Path) and not file.is_file():
            raise FileRefusedError(f"there is no file {file}")
        size = len(file) if isinstance(file, bytes) else file.stat().st_size
        if size == 0:
            raise FileRefusedError(f"{name} is empty")
        if size > most:
            raise FileTooLargeError(
                f"{name} has {size:,} bytes; {most:,} are accepted (HEADRACE_DOCUMENTS_MAX_BYTES)"
            )
        return file if isinstance(file, bytes) else file.read_bytes()
    except OSError as error:
        raise FileRefusedError(f"{name} cannot be read: {error.strerror}") from error
