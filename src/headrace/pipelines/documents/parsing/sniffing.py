"""What a file is, by its content.

An allow-list: what is not recognised as one of the accepted kinds is refused. The sender's word and
the name's end count for nothing, but that `.md` tells Markdown from plain text.
"""

import contextlib
import re
from typing import Final

from headrace.pipelines.documents.parsing.archive import list_members
from headrace.pipelines.documents.parsing.errors import UnsupportedFileError
from headrace.pipelines.documents.parsing.kinds import ACCEPTED, Kind
from headrace.pipelines.documents.parsing.limits import ParseLimits
from headrace.pipelines.documents.parsing.text import decode, is_binary

_HEAD: Final = 64 * 1024  # bytes; a licence in a comment may stand before the first element
_BLANK: Final = b"\t\n\f\r \xef\xbb\xbf"
_SURE: Final = 0.8
_MARKDOWN_NAME: Final = re.compile(r".*\.(?:md|markdown|mdown|mkd|mkdn)", re.IGNORECASE | re.DOTALL)

_PRELUDE: Final = re.compile(r"\ufeff?(?:\s+|<!--.*?-->|<\?.*?\?>)*", re.DOTALL)
_PAGE: Final = re.compile(r"<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE)
_FRAGMENT: Final = re.compile(
    r"<(?:title|meta|link|style|script|h[1-6]|p|div|main|article|section|header|nav|table|ul|ol|dl"
    r"|pre|blockquote|a|b|i|em|strong|font|span|center|br|hr|img|form|iframe)(?:\s[^<]*)?/?>",
    re.IGNORECASE,
)
_XML: Final = re.compile(r"<(?:\?xml|!doctype|svg)\b", re.IGNORECASE)

# What begins like this is refused although it may pass for text, or needs a better name.
_REFUSED: Final = (
    (b"\xd0\xcf\x11\xe0", "an old or password-protected Office file; save it as DOCX, unprotected"),
    (b"{\\rtf", "an RTF file; save it as DOCX"),
    (b"%!PS", "a PostScript file; convert it to PDF"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"RIFF", "a WebP image, a sound or a film"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"\0\0\1\0", "an icon"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90\0", "a program"),
    (b"\x1f\x8b", "a gzip archive; unpack it and send what is in it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it and send what is in it"),
    (b"Rar!", "a RAR archive; unpack it and send what is in it"),
    (b"\x93NUMPY", "a NumPy array"),
)
_ZIPS: Final = (
    ("xl/", "an Excel workbook"),
    ("ppt/", "a PowerPoint presentation"),
    ("content.xml", "an OpenDocument file; save it as DOCX"),
    ("META-INF/container.xml", "an EPUB book"),
    ("META-INF/MANIFEST.MF", "a Java archive"),
    ("visio/", "a Visio drawing"),
)
_WORD_DOCUMENT: Final = re.compile(r"word/document\d*\.xml")


def kind_of(data: bytes, name: str = "", limits: ParseLimits | None = None) -> Kind:
    """What a file is. That it can be read whole is for `parse` to see.

    Args:
        data: The file.
        name: Its name; `.md` and the like tell Markdown from plain text.
        limits: Of archives, whose directory is read. The defaults if left out.

    Raises:
        UserError: It is empty, damaged or of no accepted kind; says what it looks like.
    """
    if not data.strip(_BLANK):
        raise UnsupportedFileError("the file is empty")
    if data[:_HEAD].lstrip(_BLANK).startswith(b"%PDF-"):
        return Kind.PDF
    if data.startswith((b"PK\3\4", b"PK\5\6")):
        return _kind_of_zip(data, limits or ParseLimits())
    for signature, description in _REFUSED:
        if data.startswith(signature):
            raise _refusal(description)
    if is_binary(data):
        raise _refusal(_guess(data))
    return _kind_of_text(decode(data[:_HEAD]), is_markdown=bool(_MARKDOWN_NAME.fullmatch(name)))


def _refusal(description: str) -> UnsupportedFileError:
    return UnsupportedFileError(f"the file is {description} ({ACCEPTED})")


def _guess(data: bytes) -> str:
    """A name for what is refused in any case."""
    with contextlib.suppress(Exception):  # a guesser of strangers' bytes; its failure means nothing
        import puremagic  # noqa: PLC0415 - for files that are refused only

        [guess, *_] = puremagic.magic_string(data[:_HEAD])
        if guess.confidence >= _SURE and guess.byte_match.strip(b"\0") and guess.name:
            name, *_ = guess.name.split("|")  # that share these first bytes
            return f"binary data, by its first bytes: {name}"
    return "binary data, not text"


def _kind_of_zip(data: bytes, limits: ParseLimits) -> Kind:
    names = [member.name for member in list_members(data, limits)]
    if any(_WORD_DOCUMENT.fullmatch(name) for name in names):
        return Kind.DOCX
    for start, description in _ZIPS:
        if any(name.startswith(start) for name in names):
            raise _refusal(description)
    raise _refusal("a zip archive; unpack it and send what is in it")


def _kind_of_text(head: str, *, is_markdown: bool) -> Kind:
    prelude = _PRELUDE.match(head)
    start = prelude.end() if prelude else 0
    if _PAGE.match(head, start):
        return Kind.HTML
    if is_markdown:  # which may begin with elements of HTML
        return Kind.MARKDOWN
    if _XML.match(head.lstrip("\ufeff \t\r\n")) or _XML.match(head, start):
        raise _refusal("an XML file or an SVG image")
    return Kind.HTML if _FRAGMENT.match(head, start) else Kind.TEXT
