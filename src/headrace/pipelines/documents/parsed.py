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

SUFFIX: Final = ".md"
FOREIGN_VERSION: Final = "1"
"""Of what is kept of other systems' Markdown; their own versions are not known here."""
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


@dataclass(frozen=True, slots=True)
class Markdown:
    """A normalised text, and the lines on which its pages begin."""

    text: str
    pages: list[int]


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
    data = uploaded_file(document, owner, files)
    result = parse(data, document.kind, limits)
    text = result.markdown.encode()
    made = ParsedFile(address, hashlib.sha256(text).hexdigest(), len(result.markdown), result.pages)
    files.write(address, text)
    _note(files, _notes(address), wanted, made)
    return made


def uploaded_file(document: Document, owner: Owner, files: FileStore) -> bytes:
    """The file of a document, as it was uploaded.

    Raises:
        PermanentError: It is another one.
    """
    data = files.read(raw_address(owner.tenant, owner.name, document.id, document.kind.suffix))
    if hashlib.sha256(data).hexdigest() != document.sha256:
        raise PermanentError(f"the stored file of {document.name} is not what was uploaded")
    return data


def known_file(document: str, owner: Owner, files: FileStore, parser: str) -> ParsedFile | None:
    """The Markdown that another system made of a document; None where it made none.

    Args:
        document: Its id.
        owner: Whose it is.
        files: Where it would lie.
        parser: The name of that system.
    """
    address = parsed_address(owner.tenant, owner.name, document)
    return _known(files, address, parse_id(document, parser, FOREIGN_VERSION))


def keep_foreign(
    document: str, owner: Owner, files: FileStore, parser: str, text: Markdown
) -> ParsedFile:
    """Store the Markdown that another system made of a document, under a name of its content.

    So two answers of that system never write the same file, whichever of them counts.

    Args:
        document: Its id.
        owner: Whose it is.
        files: Where it will lie.
        parser: The name of that system.
        text: Normalised.
    """
    data = text.text.encode()
    sha256 = hashlib.sha256(data).hexdigest()
    address = foreign_address(owner, document, sha256)
    made = ParsedFile(address, sha256, len(text.text), text.pages)
    files.write(address, data)
    notes = _notes(parsed_address(owner.tenant, owner.name, document))
    _note(files, notes, parse_id(document, parser, FOREIGN_VERSION), made)
    return made


def foreign_address(owner: Owner, document: str, sha256: str) -> str:
    """Where Markdown lies that another system made of a document."""
    address = parsed_address(owner.tenant, owner.name, document)
    return f"{address.removesuffix(SUFFIX)}.{sha256[:16]}{SUFFIX}"


def delete_parsed(files: FileStore, address: str) -> None:
    """Remove the Markdown of a document, whoever made it; nothing if there is none."""
    files.delete(_notes(address))
    for other in files.beside(f"{address.removesuffix(SUFFIX)}."):
        files.delete(other)
    files.delete(address)


def _known(files: FileStore, address: str, wanted: str) -> ParsedFile | None:
    try:
        notes = orjson.loads(files.read(_notes(address)))
        file = notes["file"]
        text = files.read(file["address"])
    except (FileNotFoundError, orjson.JSONDecodeError):
        return None
    if notes["parse"] != wanted or file["sha256"] != hashlib.sha256(text).hexdigest():
        return None
    return ParsedFile(**{**file, "is_reused": True})


def _note(files: FileStore, place: str, wanted: str, made: ParsedFile) -> None:
    """Let later jobs find it. Without this the Markdown does not count, so it is written last."""
    files.write(place, orjson.dumps({"parse": wanted, "file": made}), synced=False)


def _notes(address: str) -> str:
    return f"{address}.json"
