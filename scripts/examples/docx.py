"""A Word file of headings, paragraphs and tables, with the fewest parts that one may have."""

from __future__ import annotations

import io
import zipfile
from typing import Final
from xml.sax.saxutils import escape

WORD: Final = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
PACKAGE: Final = "http://schemas.openxmlformats.org/package/2006"
OFFICE: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
KIND: Final = "application/vnd.openxmlformats-officedocument.wordprocessingml"
HEAD: Final = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
DATE: Final = (2024, 10, 19, 14, 0, 0)
LEVELS: Final = 2
# A Word file may have a table with borders only where it says so.
TABLE: Final = (
    '<w:tblPr><w:tblW w:w="5000" w:type="pct"/><w:tblBorders>'
    + "".join(
        f'<w:{side} w:val="single" w:sz="4" w:space="0" w:color="888888"/>'
        for side in ("top", "left", "bottom", "right", "insideH", "insideV")
    )
    + "</w:tblBorders></w:tblPr>"
)


def write_docx(source: str) -> bytes:
    """A Word file of a text.

    Args:
        source: Markdown of headings (`#`, `##`), paragraphs and tables with one head line.
    """
    body = "".join(map(_block, source.strip().split("\n\n")))
    parts = {
        "[Content_Types].xml": _content_types(),
        "_rels/.rels": _relations("rId1", "officeDocument", "word/document.xml"),
        "word/document.xml": f'<w:document xmlns:w="{WORD}"><w:body>{body}</w:body></w:document>',
        "word/_rels/document.xml.rels": _relations("rId1", "styles", "styles.xml"),
        "word/styles.xml": _styles(),
    }
    file = io.BytesIO()
    # Stored, not compressed: versions of zlib differ in their results.
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, text in parts.items():
            archive.writestr(zipfile.ZipInfo(name, DATE), HEAD + text)
    return file.getvalue()


def _block(text: str) -> str:
    if text.startswith("|"):
        return _table(text)
    marks = len(text) - len(text.lstrip("#"))
    return _paragraph(text.lstrip("# "), style=f"Heading{marks}" if marks else None)


def _paragraph(text: str, *, style: str | None = None, bold: bool = False) -> str:
    look = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    weight = "<w:rPr><w:b/></w:rPr>" if bold else ""
    words = escape(" ".join(text.split()))
    return f'<w:p>{look}<w:r>{weight}<w:t xml:space="preserve">{words}</w:t></w:r></w:p>'


def _table(text: str) -> str:
    head, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()
    ]
    cells = _row(head, bold=True) + "".join(_row(row, bold=False) for row in rows)
    return f"<w:tbl>{TABLE}{cells}</w:tbl>{_paragraph('')}"


def _row(cells: list[str], *, bold: bool) -> str:
    marked = "<w:trPr><w:tblHeader/></w:trPr>" if bold else ""
    inner = "".join(f"<w:tc>{_paragraph(cell, bold=bold)}</w:tc>" for cell in cells)
    return f"<w:tr>{marked}{inner}</w:tr>"


def _content_types() -> str:
    relations = "application/vnd.openxmlformats-package.relationships+xml"
    parts = "".join(
        f'<Override PartName="/word/{name}.xml" ContentType="{KIND}.{kind}+xml"/>'
        for name, kind in (("document", "document.main"), ("styles", "styles"))
    )
    return (
        f'<Types xmlns="{PACKAGE}/content-types">'
        f'<Default Extension="rels" ContentType="{relations}"/>{parts}</Types>'
    )


def _relations(name: str, kind: str, target: str) -> str:
    return (
        f'<Relationships xmlns="{PACKAGE}/relationships">'
        f'<Relationship Id="{name}" Type="{OFFICE}/{kind}" Target="{target}"/></Relationships>'
    )


def _styles() -> str:
    headings = "".join(
        f'<w:style w:type="paragraph" w:styleId="Heading{level}"><w:name w:val="heading {level}"/>'
        f'<w:pPr><w:outlineLvl w:val="{level - 1}"/></w:pPr>'
        f'<w:rPr><w:b/><w:sz w:val="{40 - 8 * level}"/></w:rPr></w:style>'
        for level in range(1, LEVELS + 1)
    )
    return f'<w:styles xmlns:w="{WORD}">{headings}</w:styles>'
