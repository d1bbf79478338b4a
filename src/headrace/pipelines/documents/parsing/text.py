"""Bytes to text: which encoding, and whether they are text at all."""

import codecs
import re
from typing import Final

from headrace.pipelines.documents.parsing.errors import UnsupportedFileError
from headrace.pipelines.documents.parsing.kinds import ACCEPTED
from headrace.pipelines.documents.parsing.limits import ParseLimits
from headrace.pipelines.documents.parsing.result import Parsed, checked

# UTF-32 first: its little-endian mark begins with that of UTF-16.
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROLS: Final = bytes({*range(0x20), 0x7F} - set(b"\t\n\v\f\r\b\x1b"))
_CONTROL: Final = re.compile(f"[{re.escape(_CONTROLS.decode())}\ufffd]")
_MOST_CONTROLS: Final = 200  # one in 200 characters: random bytes have one in 10

_DECLARED: Final = re.compile(
    rb"""<meta\s[^<>]{0,200}?charset\s{0,9}=\s{0,9}["']?\s{0,9}([\w:.-]{2,40})""", re.IGNORECASE
)
# What a page may declare. Python knows more encodings, some of which are none of text.
_PAGE_ENCODINGS: Final = frozenset(
    {"big5", "big5hkscs", "cp866", "cp874", "euc_jp", "euc_kr", "gb18030", "gb2312", "gbk"}
    | {"cp949", "johab", "koi8-r", "koi8-u", "mac-cyrillic", "mac-roman", "shift_jis", "cp932"}
    | {f"cp125{number}" for number in range(9)}
    | {f"iso8859-{number}" for number in (*range(2, 12), *range(13, 17))}
)
_HEAD: Final = 4096  # bytes in which a page declares its encoding; browsers look at 1,024


def read(data: bytes, limits: ParseLimits) -> Parsed:
    """Plain text and Markdown, as they are.

    Raises:
        UserError: It is no text, there is none, or too much of it.
    """
    return Parsed(checked(decode(data), limits))


def decode(data: bytes, *, page: bool = False) -> str:
    """The text: by its byte order mark, else UTF-8, else what a `page` declares, else Windows-1252.

    A text that is UTF-8 but for a few bytes stays UTF-8, with U+FFFD in their place. Takes time in
    proportion to the length.

    Raises:
        UnsupportedFileError: The bytes are no text.
    """
    if is_binary(data):
        raise UnsupportedFileError(f"the file is binary data, not text; {ACCEPTED}")
    marked = _marked(data)
    if marked:
        return data.decode(marked, "replace")
    try:
        return data.decode()
    except UnicodeDecodeError:
        return _decode_other(data, page=page)


def is_binary(data: bytes) -> bool:
    """Whether more than one character in 200 is a control character that texts do not have."""
    marked = _marked(data)
    if not marked:
        odd = len(data) - len(data.translate(None, _CONTROLS))
        return odd * _MOST_CONTROLS > len(data)
    text = data.decode(marked, "replace")
    odd = len(text) - len(_CONTROL.sub("", text))
    return odd * _MOST_CONTROLS > len(text)


def _marked(data: bytes) -> str | None:
    return next((name for mark, name in _MARKS if data.startswith(mark)), None)


def _decode_other(data: bytes, *, page: bool) -> str:
    declared = _DECLARED.search(data[:_HEAD]) if page else None
    if declared is not None:
        with_name = _page_encoding(declared[1].decode("ascii", "replace"))
        if with_name is not None:
            return data.decode(with_name, "replace")
    text = data.decode("utf-8", "replace")
    lost = text.count("\ufffd")
    letters = len(text) - len(text.encode("ascii", "ignore")) - lost
    if letters > lost:  # in Windows-1252 two bytes are a letter of UTF-8 by a rare chance only
        return text
    return data.decode("cp1252", "replace")


def _page_encoding(label: str) -> str | None:
    try:
        name = codecs.lookup(label).name
    except (LookupError, ValueError):
        return None
    return name if name in _PAGE_ENCODINGS else None
