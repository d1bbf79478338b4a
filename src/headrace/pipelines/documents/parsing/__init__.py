"""The bytes of a file to Markdown: `kind_of` says what it is, `parse` reads it.

Pure functions without a file, a socket or a clock. Files come from anywhere, so call `parse` in a
process of its own with a time and a memory limit: the limits here bound what is cheap to count.
"""

from headrace.pipelines.documents.parsing.errors import (
    DamagedFileError,
    FileLimitError,
    LockedFileError,
    NoTextError,
    UnsupportedFileError,
)
from headrace.pipelines.documents.parsing.kinds import Kind
from headrace.pipelines.documents.parsing.limits import ParseLimits
from headrace.pipelines.documents.parsing.parser import PARSER, PARSER_VERSION, parse
from headrace.pipelines.documents.parsing.result import Parsed, normalise, page_at
from headrace.pipelines.documents.parsing.sniffing import kind_of

__all__ = [
    "PARSER",
    "PARSER_VERSION",
    "DamagedFileError",
    "FileLimitError",
    "Kind",
    "LockedFileError",
    "NoTextError",
    "ParseLimits",
    "Parsed",
    "UnsupportedFileError",
    "kind_of",
    "normalise",
    "page_at",
    "parse",
]
