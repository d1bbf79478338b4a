"""PDF to Markdown, page by page, by PDFium.

PDFium is native code that reads what strangers made: call it in a process of its own.
"""

import ctypes
import math
import re
from collections.abc import Iterator
from typing import Any, Final

import pypdfium2
import pypdfium2.raw as pdfium

from headrace.pipelines.documents.parsing import layout
from headrace.pipelines.documents.parsing.errors import (
    DamagedFileError,
    FileLimitError,
    LockedFileError,
    NoTextError,
)
from headrace.pipelines.documents.parsing.limits import ParseLimits
from headrace.pipelines.documents.parsing.result import Parsed, join_pages, refuse_long

_END_WITHIN: Final = 1024  # bytes; other readers look no further for the mark of a PDF's end
_PADDING: Final = b"\0 \t\r\n"
_NO_PAGES: Final = re.compile(rb"/Count\s+0\b")


def read(data: bytes, limits: ParseLimits) -> Parsed:
    """The text of every page of a PDF, and where each page begins.

    Raises:
        UserError: It is damaged, locked, scanned, without pages, or over a limit.
    """
    if b"%%EOF" not in data.rstrip(_PADDING)[-_END_WITHIN:]:
        raise DamagedFileError("the end of the PDF is missing: it was cut off; send it again")
    with _open(data) as document:
        count = len(document)
        if count > limits.pages:
            raise FileLimitError(
                f"the PDF has {count:,} pages; at most {limits.pages:,} are accepted; split it"
            )
        pages = []
        characters = 0
        for number in range(count):
            lines = _read_page(document, number, count)
            characters += sum(len(line.text) for line in lines)
            refuse_long(characters, limits)  # before thousands of pages are kept
            pages.append(lines)
    return _put_together(layout.to_markdown(pages), limits)


def _open(data: bytes) -> Any:  # noqa: ANN401 - the library has no types
    try:
        return pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if error.err_code == pdfium.FPDF_ERR_PASSWORD:
            raise LockedFileError(
                "the PDF is protected by a password; save it without one"
            ) from error
        if error.err_code == pdfium.FPDF_ERR_SECURITY:
            raise LockedFileError(
                "the PDF is encrypted in a way that cannot be read; save it unencrypted"
            ) from error
        if _NO_PAGES.search(data):
            raise DamagedFileError("the PDF has no pages") from error
        raise DamagedFileError(
            "the PDF is damaged and cannot be opened; print it to a new PDF"
        ) from error


def _read_page(document: Any, number: int, count: int) -> list[layout.Line]:  # noqa: ANN401
    try:
        page = document[number]
        text_page = page.get_textpage()
        lines = list(_lines(text_page))
    except pypdfium2.PdfiumError as error:
        raise DamagedFileError(
            f"page {number + 1:,} of {count:,} of the PDF is damaged; print it to a new PDF"
        ) from error
    text_page.close()  # thousands of open pages would be kept in memory
    page.close()
    return lines


def _lines(text_page: Any) -> Iterator[layout.Line]:  # noqa: ANN401
    # Lone surrogates are kept here, so that places agree with PDFium's, and replaced later.
    text: str = text_page.get_text_range(errors="surrogatepass")
    place = 0  # in UTF-16 units, as PDFium counts
    for line in text.split("\r\n"):
        units = len(line) + sum(character > "\uffff" for character in line)
        if line.strip():
            yield _located(text_page, line, place, place + units - 1)
        place += units + 2


def _located(text_page: Any, text: str, first: int, last: int) -> layout.Line:  # noqa: ANN401
    first = pdfium.FPDFText_GetCharIndexFromTextIndex(text_page, first)
    last = pdfium.FPDFText_GetCharIndexFromTextIndex(text_page, last)
    left, start = _origin(text_page, first)
    _, end = _origin(text_page, last)
    box = pdfium.FS_RECTF()
    pdfium.FPDFText_GetLooseCharBox(text_page, last, ctypes.byref(box))
    # By the matrix too: many programs write every text in size 1 and scale it.
    matrix = pdfium.FS_MATRIX()
    pdfium.FPDFText_GetMatrix(text_page, first, ctypes.byref(matrix))
    size = pdfium.FPDFText_GetFontSize(text_page, first) * math.hypot(matrix.c, matrix.d)
    return layout.Line(text, left=left, right=box.right, start=start, end=end, size=size)


def _origin(text_page: Any, index: int) -> tuple[float, float]:  # noqa: ANN401
    """Where a character stands on its line; zeros where PDFium does not know."""
    x, y = ctypes.c_double(), ctypes.c_double()
    pdfium.FPDFText_GetCharOrigin(text_page, index, ctypes.byref(x), ctypes.byref(y))
    return x.value, y.value


def _put_together(texts: list[str], limits: ParseLimits) -> Parsed:
    markdown, pages = join_pages(texts)
    if not markdown:
        raise NoTextError(
            f"no text on any page of the PDF ({len(texts):,}): it seems to be scanned;"
            " run text recognition (OCR) on it first"
        )
    refuse_long(len(markdown), limits)
    return Parsed(markdown, pages)
