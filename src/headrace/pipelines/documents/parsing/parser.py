"""One door to the readers of all kinds."""

from typing import Final

from headrace import PermanentError
from headrace.pipelines.documents.parsing.kinds import Kind
from headrace.pipelines.documents.parsing.limits import ParseLimits
from headrace.pipelines.documents.parsing.result import Parsed

PARSER: Final = "local"
PARSER_VERSION: Final = "1"
"""Raise it when the same file gives another text."""


def parse(data: bytes, kind: Kind, limits: ParseLimits | None = None) -> Parsed:
    """The whole text of a file as normalised Markdown; never a part of it.

    Nothing is written to disk, nothing is fetched, and no program in the file is run.

    Args:
        data: The file.
        kind: What `kind_of` says of it.
        limits: The defaults if left out.

    Raises:
        UserError: The file cannot be read; says why, and what can be done.
        PermanentError: A library is missing.
        MemoryError: The process may not have as much memory as the file needs.
    """
    limits = limits or ParseLimits()
    try:
        return _read(data, kind, limits)
    except ModuleNotFoundError as error:
        raise PermanentError(
            f"{error.name} is missing: pip install 'headrace[documents]'"
        ) from error


def _read(data: bytes, kind: Kind, limits: ParseLimits) -> Parsed:
    # Each reader brings a library that takes up to 0.1 s to import: no file needs them all.
    match kind:
        case Kind.PDF:
            from headrace.pipelines.documents.parsing import pdf  # noqa: PLC0415

            return pdf.read(data, limits)
        case Kind.DOCX:
            from headrace.pipelines.documents.parsing import docx  # noqa: PLC0415

            return docx.read(data, limits)
        case Kind.HTML:
            from headrace.pipelines.documents.parsing import html  # noqa: PLC0415

            return html.read(data, limits)
        case Kind.MARKDOWN | Kind.TEXT:
            from headrace.pipelines.documents.parsing import text  # noqa: PLC0415

            return text.read(data, limits)
