"""The Markdown of a document on disk: made once, reused by later jobs of the same content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson

from headrace import InvalidError, PermanentError
from headrace.pipelines.documents.files import parsed_address, raw_address
from headrace.pipelines.documents.ids import parse_id
from headrace.pipelines.documents.model import ParsedFile
from headrace.pipelines.documents.parsing import PARSER, PARSER_VERSION, parse

if TYPE_CHECKING:
    from headrace.pipelines.documents.files import FileStore
    from headrace.pipelines.documents.model import Document
    from headrace.pipelines.documents.parsing import ParseLimits

MOST_NAME: Final = 200
"""Characters of the name of a tenant or an owner."""


@dataclass(frozen=True, slots=True)
class Owner:
    """To whom a document belongs.

    Raises:
        InvalidError: A name is no printable text of 1 to 200 characters, as a job's must be.
    """

    tenant: str
    name: str

    def __post_init__(self) -> None:
        for what, name in (("tenant", self.tenant), ("owner", self.name)):
            if not (1 <= len(name) <= MOST_NAME and name.isprintable()):
                raise InvalidError(
                    f"{what}: {name[:40]!r} cannot be used; give a printable text of 1 to "
                    f"{MOST_NAME} characters"
                )


def parsed_file(
    document: Document, owner: Owner, files: FileStore, limits: ParseLimits
) -> ParsedFile:
    """The Markdown of a document: the one that is there, else made now.

    Raises:
        UserError: The file cannot be parsed; the text can be shown to who sent it.
        PermanentError: The uploaded file is not what was uploaded.
    """
    address = parsed_address(owner.tenant, owner.name, document.id)
    wanted = parse_id(document.id, PARSER, PARSER_VERSION)
    known = _known(files, address, wanted)
    if known is not None:
        return known
    data = files.read(raw_address(owner.tenant, owner.name, document.id, document.kind.suffix))
    if hashlib.sha256(data).hexdigest() != document.sha256:
        raise PermanentError(f"the stored file of {document.name} is not what was uploaded")
    result = parse(data, document.kind, limits)
    text = result.markdown.encode()
    made = ParsedFile(address, hashlib.sha256(text).hexdigest(), len(result.markdown), result.pages)
    files.write(address, text)
    # Written last: without it the Markdown does not count, and whoever misses it parses again.
    notes = orjson.dumps({"parse": wanted, "file": made})
    files.write(_notes(address), notes, synced=False)
    return made


def delete_parsed(files: FileStore, address: str) -> None:
    """Remove the Markdown of a document; nothing if there is none."""
    files.delete(_notes(address))
    files.delete(address)


def _known(files: FileStore, address: str, wanted: str) -> ParsedFile | None:
    try:
        notes = orjson.loads(files.read(_notes(address)))
        text = files.read(address)
    except (FileNotFoundError, orjson.JSONDecodeError):
        return None
    file = notes["file"]
    if notes["parse"] != wanted or file["sha256"] != hashlib.sha256(text).hexdigest():
        return None
    return ParsedFile(**{**file, "is_reused": True})


def _notes(address: str) -> str:
    return f"{address}.json"
