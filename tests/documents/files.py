"""Files of every kind for the tests, made by hand: whole ones, broken ones and hostile ones.

Nothing here needs a library, so a test never trusts the code it tests to make its input.

    pdf(["# Title\n\nText of page one.", "Text of page two."])   each line of text as it stands
    docx(["# Title", "A paragraph.", [["Name", "Age"], ["Ada", "36"]]])
    zip_file([Entry("a.txt", b"text")])                            any lie an archive can tell
"""

from __future__ import annotations

import functools
import hashlib
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

MIB: Final = 1024 * 1024

# --- inflation ------------------------------------------------------------------------------------


@functools.cache
def deflated(size: int, filler: bytes = b" ") -> bytes:
    """A raw deflate stream of `size` bytes, the same few again and again: 1/1,000 of that long.

    Whole mebibytes are compressed once and repeated, so a gibibyte takes no time to make.
    """
    block = zlib.compressobj(9, zlib.DEFLATED, -15)
    filler *= MIB // len(filler)
    whole = block.compress(filler) + block.flush(zlib.Z_FULL_FLUSH)
    end = zlib.compressobj(9, zlib.DEFLATED, -15)
    return whole * (size // MIB) + end.compress(filler[: size % MIB]) + end.flush()


# --- PDF ------------------------------------------------------------------------------------------

Objects = dict[int, bytes]
_CATALOG, _PAGES, _FONT, _FIRST = 1, 2, 3, 4
_SIZES: Final = {"# ": 20, "## ": 15}
_BODY: Final = 11


def assemble_pdf(objects: Objects, trailer: bytes = b"") -> bytes:
    """A PDF of these numbered objects; object 1 is the catalogue."""
    out = bytearray(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
    places = {}
    for number, body in sorted(objects.items()):
        places[number] = len(out)
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start, count = len(out), max(objects) + 1
    out += b"xref\n0 %d\n0000000000 65535 f \n" % count
    for number in range(1, count):
        out += b"%010d 00000 %c \n" % (places.get(number, 0), b"fn"[number in places])
    out += b"trailer\n<< /Size %d /Root 1 0 R %s >>\n" % (count, trailer)
    return bytes(out + b"startxref\n%d\n%%%%EOF\n" % start)


def pdf_stream(data: bytes, entries: bytes = b"") -> bytes:
    """A stream object."""
    return b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(data), entries, data)


def pdf(pages: Sequence[str]) -> bytes:
    r"""A PDF with these texts, one a page, in Latin-1.

    Every line is drawn as it is, 14 points below the one before; an empty line leaves that much
    more room. Lines that begin with `# ` or `## ` are drawn larger. A form feed starts a second
    column.
    """
    return assemble_pdf(pdf_objects([_page_content(page) for page in pages]))


def pdf_objects(contents: Sequence[bytes], resources: bytes = b"") -> Objects:
    """The objects of a PDF whose pages have these content streams; font `/F1` is Helvetica."""
    numbers = range(_FIRST, _FIRST + 2 * len(contents), 2)
    objects: Objects = {
        _CATALOG: b"<< /Type /Catalog /Pages 2 0 R >>",
        _PAGES: b"<< /Type /Pages /Count %d /Kids [%s] >>"
        % (len(contents), b" ".join(b"%d 0 R" % number for number in numbers)),
        _FONT: b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    }
    for number, content in zip(numbers, contents, strict=True):
        objects[number] = _page(number + 1, resources)
        objects[number + 1] = pdf_stream(content)
    return objects


def _page(content: int, resources: bytes = b"") -> bytes:
    return (
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R "
        b"/Resources << /Font << /F1 3 0 R >> %s >> >>" % (content, resources)
    )


def _page_content(text: str) -> bytes:
    out = [b"BT"]
    left, top = 72, 740
    for column in text.split("\f"):
        for row, line in enumerate(column.split("\n")):
            mark = next((mark for mark in _SIZES if line.startswith(mark)), "")
            shown = line.removeprefix(mark).encode("cp1252")
            for character in (b"\\", b"(", b")"):
                shown = shown.replace(character, b"\\" + character)
            size = _SIZES.get(mark, _BODY)
            place = (size, left, top - 14 * row, shown)
            if shown:
                out.append(b"/F1 %d Tf 1 0 0 1 %d %d Tm (%s) Tj" % place)
        left += 260
    return b"\n".join([*out, b"ET"])


def big_pdf(pages: int = 10_000) -> bytes:
    """A PDF with so many pages, all of one content stream: about 180 bytes a page."""
    objects = pdf_objects([_page_content("The same text on every page.")])
    numbers = [4, *range(6, 5 + pages)]
    objects[_PAGES] = b"<< /Type /Pages /Count %d /Kids [%s] >>" % (
        pages,
        b" ".join(b"%d 0 R" % number for number in numbers),
    )
    return assemble_pdf(objects | dict.fromkeys(numbers, objects[4]))


def scanned_pdf() -> bytes:
    """A PDF whose one page is a picture."""
    objects = pdf_objects([b"q 612 0 0 792 0 0 cm /Im1 Do Q"], b"/XObject << /Im1 6 0 R >>")
    picture = b"/Type /XObject /Subtype /Image /Width 1 /Height 1 /ColorSpace /DeviceGray"
    objects[6] = pdf_stream(b"\x80", picture + b" /BitsPerComponent 8")
    return assemble_pdf(objects)


_PADDING: Final = bytes.fromhex("28bf4e5e4e758a4164004e56fffa01082e2e00b6d0683e802f0ca9fe6453697a")


def encrypted_pdf(password: str = "secret") -> bytes:  # noqa: S107
    """A PDF with one page, `Secret text.`, that opens with this password (40-bit RC4)."""
    identity, rights = b"headrace" * 2, struct.pack("<i", -4)
    user = (password.encode() + _PADDING)[:32]
    owner = _rc4(_md5((b"owner" + _PADDING)[:32])[:5], user)
    key = _md5(user + owner + rights + identity)[:5]
    content = _page_content("Secret text.")
    objects = pdf_objects([content])
    objects[5] = pdf_stream(_rc4(_md5(key + b"\5\0\0\0\0")[:10], content))
    trailer = (
        b"/ID [<%s> <%s>] /Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O <%s> /U <%s> >>"
        % tuple(part.hex().encode() for part in (identity, identity, owner, _rc4(key, _PADDING)))
    )
    return assemble_pdf(objects, trailer)


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def _rc4(key: bytes, data: bytes) -> bytes:
    state, other = list(range(256)), 0
    for place in range(256):
        other = (other + state[place] + key[place % len(key)]) % 256
        state[place], state[other] = state[other], state[place]
    out, one, other = bytearray(), 0, 0
    for byte in data:
        one = (one + 1) % 256
        other = (other + state[one]) % 256
        state[one], state[other] = state[other], state[one]
        out.append(byte ^ state[(state[one] + state[other]) % 256])
    return bytes(out)


def cyclic_pdf() -> bytes:
    """A PDF whose page tree holds itself, and says that it has five pages."""
    objects = pdf_objects([_page_content("One.")])
    objects[_PAGES] = b"<< /Type /Pages /Count 5 /Parent 2 0 R /Kids [2 0 R 4 0 R 2 0 R] >>"
    return assemble_pdf(objects)


def looping_pdf() -> bytes:
    """A PDF with a form that draws itself."""
    objects = pdf_objects([b"/Fx Do"], b"/XObject << /Fx 6 0 R >>")
    form = b"/Type /XObject /Subtype /Form /BBox [0 0 612 792] /Resources << %s >>"
    objects[6] = pdf_stream(
        b"BT /F1 11 Tf (Again.) Tj ET /Fx Do",
        form % b"/Font << /F1 3 0 R >> /XObject << /Fx 6 0 R >>",
    )
    return assemble_pdf(objects)


def exploding_pdf(width: int = 10, depth: int = 12) -> bytes:
    """A PDF of a few KB with `width ** depth` texts on its page: a memory limit ends it."""
    objects = pdf_objects([b"/Fx Do"], b"/XObject << /Fx 6 0 R >>")
    form = b"/Type /XObject /Subtype /Form /BBox [0 0 612 792] /Resources << %s >>"
    for level in range(depth):
        inner = b"/XObject << /Fx %d 0 R >>" % (7 + level)
        objects[6 + level] = pdf_stream(b"/Fx Do " * width, form % inner)
    objects[6 + depth] = pdf_stream(b"BT /F1 11 Tf (Text.) Tj ET", form % b"/Font << /F1 3 0 R >>")
    return assemble_pdf(objects)


def endless_pdf(times: int = 10_000) -> bytes:
    """A PDF of some KB that is read for hours with little memory: it ends by a time limit only.

    Its page draws a form so many times; the form is 16 MiB of operators that draw nothing.
    """
    objects = pdf_objects([b"/Fx Do " * times], b"/XObject << /Fx 6 0 R >>")
    inner = b"\x78\xda" + deflated(16 * MIB, b"q Q ")
    objects[6] = pdf_stream(
        zlib.compress(inner, 9),
        b"/Type /XObject /Subtype /Form /BBox [0 0 612 792] /Filter [/FlateDecode /FlateDecode]",
    )
    return assemble_pdf(objects)


def inflating_pdf(size: int = 4096 * MIB) -> bytes:
    """A PDF of some KB whose page inflates to `size` bytes: a memory limit has to end it."""
    inner = b"\x78\xda" + deflated(size) + _adler32(size)
    objects = pdf_objects([b""])
    objects[5] = pdf_stream(zlib.compress(inner, 9), b"/Filter [/FlateDecode /FlateDecode]")
    return assemble_pdf(objects)


def _adler32(size: int, value: int = 0x20) -> bytes:
    """Of `size` equal bytes, by its formula: hashing gibibytes takes seconds."""
    low = (1 + size * value) % 65521
    high = (size + value * size * (size + 1) // 2) % 65521
    return struct.pack(">HH", high, low)


# --- zip ------------------------------------------------------------------------------------------

STORED, DEFLATED = 0, 8


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a zip archive, with every lie that its headers can tell.

    Attributes:
        name: As both headers say.
        data: What is in it; compressed here unless `packed` is given.
        packed: The bytes in the archive.
        size: The inflated size that the headers claim.
        packed_size: The size in the archive that the headers claim.
        method: 8 deflate, 0 stored.
        flags: 1 says encrypted.
        mode: Unix file type and permissions: 0o120777 is a symbolic link.
        at: Where the directory says that it begins.
    """

    name: str
    data: bytes = b""
    packed: bytes | None = None
    size: int | None = None
    packed_size: int | None = None
    method: int = DEFLATED
    flags: int = 0
    mode: int = 0o100644
    at: int | None = None


def zip_file(entries: Iterable[Entry], *, count: int | None = None) -> bytes:
    """A zip archive of these entries; `count` is the number of them that its end claims."""
    out, directory = bytearray(), []
    for entry in entries:
        header, packed = _zip_header(entry)
        name = entry.name.encode()
        start = len(out) if entry.at is None else entry.at
        central = struct.pack("<HHHHII", 0, 0, 0, 0, entry.mode << 16, start)
        directory.append(b"PK\x01\x02\x14\x03" + header + central + name)
        out += b"PK\x03\x04" + header + b"\0\0" + name + packed
    return bytes(out) + _zip_end(b"".join(directory), len(directory), len(out), count)


def _zip_header(entry: Entry) -> tuple[bytes, bytes]:
    packed = entry.packed
    if packed is None:
        compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
        packed = compressor.compress(entry.data) + compressor.flush()
        packed = packed if entry.method == DEFLATED else entry.data
    size = len(entry.data) if entry.size is None else entry.size
    packed_size = len(packed) if entry.packed_size is None else entry.packed_size
    fields = (20, entry.flags | 0x800, entry.method, 0, 0x21, zlib.crc32(entry.data))
    sizes = (packed_size, size, len(entry.name.encode()))
    return struct.pack("<HHHHHIIIH", *fields, *sizes), packed


def _zip_end(directory: bytes, entries: int, start: int, count: int | None = None) -> bytes:
    shown = min(entries if count is None else count, 0xFFFF)
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, shown, shown, len(directory), start, 0)
    return directory + end


def crowded_zip(entries: int = 1_000_000, *, count: int | None = None) -> bytes:
    """A DOCX and so many more entries, all of them at the same place: 48 bytes an entry."""
    whole = [*docx_entries(["Text."]), Entry("x", b"")]
    head = zip_file(whole)
    directory = head.index(b"PK\x01\x02")
    end = head.rindex(b"PK\x05\x06")
    last = head.rindex(b"PK\x01\x02", 0, end)
    records = head[directory:end] + head[last:end] * entries
    return head[:directory] + _zip_end(records, len(whole) + entries, directory, count)


# --- DOCX -----------------------------------------------------------------------------------------

Block = str | list[list[str]]

_NAMESPACES: Final = (
    'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" '
    'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships" '
    'xmlns:wp="http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing" '
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
    'xmlns:pic="http://schemas.openxmlformats.org/drawingml/2006/picture"'
)
_XML: Final = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_OFFICE: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE: Final = "http://schemas.openxmlformats.org/package/2006"


def docx(blocks: Sequence[Block], extra: Iterable[Entry] = ()) -> bytes:
    """A DOCX with these blocks: `# ` to `### ` headings, paragraphs, and tables as lists of rows.

    Args:
        blocks: The content, in order.
        extra: More entries; one that has the name of a part of the DOCX replaces it.
    """
    return zip_file(docx_entries(blocks, extra))


def docx_entries(blocks: Sequence[Block], extra: Iterable[Entry] = ()) -> list[Entry]:
    """The parts of which `docx` makes its archive."""
    body = "".join(map(_docx_block, blocks))
    parts = {
        "[Content_Types].xml": (
            f'<Types xmlns="{_PACKAGE}/content-types">'
            '<Default Extension="rels" '
            'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            '<Default Extension="png" ContentType="image/png"/>'
            '<Override PartName="/word/document.xml" ContentType="application/'
            'vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>'
        ),
        "_rels/.rels": docx_relationships(("rId1", "officeDocument", "word/document.xml")),
        "word/_rels/document.xml.rels": docx_relationships(("rId1", "styles", "styles.xml")),
        "word/styles.xml": f"<w:styles {_NAMESPACES}>{_docx_styles()}</w:styles>",
        "word/document.xml": f"<w:document {_NAMESPACES}><w:body>{body}</w:body></w:document>",
    }
    entries = {name: Entry(name, (_XML + text).encode()) for name, text in parts.items()}
    entries |= {entry.name: entry for entry in extra}
    return list(entries.values())


def docx_relationships(*relationships: tuple[str, str, str], external: bool = False) -> str:
    """A relationships part: id, last word of the type, and target of each."""
    mode = ' TargetMode="External"' if external else ""
    rows = "".join(
        f'<Relationship Id="{name}" Type="{_OFFICE}/{kind}" Target="{escape(target)}"{mode}/>'
        for name, kind, target in relationships
    )
    return f'<Relationships xmlns="{_PACKAGE}/relationships">{rows}</Relationships>'


def docx_picture(relationship: str, *, linked: bool = False) -> str:
    """The XML of a paragraph with one picture."""
    blip = f'<a:blip r:{"link" if linked else "embed"}="{relationship}"/>'
    return (
        '<w:p><w:r><w:drawing><wp:inline><wp:docPr id="1" name="p" descr="A picture of it"/>'
        "<a:graphic><a:graphicData><pic:pic><pic:blipFill>"
        f"{blip}</pic:blipFill></pic:pic></a:graphicData></a:graphic></wp:inline></w:drawing>"
        "</w:r></w:p>"
    )


def _docx_styles() -> str:
    return "".join(
        f'<w:style w:type="paragraph" w:styleId="Heading{level}">'
        f'<w:name w:val="heading {level}"/></w:style>'
        for level in (1, 2, 3)
    )


def _docx_block(block: Block) -> str:
    if isinstance(block, list):
        rows = ("".join(f"<w:tc>{_docx_block(cell)}</w:tc>" for cell in row) for row in block)
        return f"<w:tbl>{''.join(f'<w:tr>{row}</w:tr>' for row in rows)}</w:tbl>"
    if block.startswith("<w:"):
        return block
    marks, _, text = block.rpartition("# ")
    style = f'<w:pPr><w:pStyle w:val="Heading{len(marks) + 1}"/></w:pPr>' if text != block else ""
    return f'<w:p>{style}<w:r><w:t xml:space="preserve">{escape(text)}</w:t></w:r></w:p>'


def zip_bomb(size: int = 1024 * MIB, claimed: int | None = None) -> bytes:
    """A DOCX of about `size` / 1,000 whose document inflates to `size`; its header may lie."""
    shown = size if claimed is None else claimed
    bomb = Entry("word/document.xml", packed=deflated(size), size=shown)
    return docx(["Text."], [bomb])


def nested_zip_bomb(size: int = 1024 * MIB) -> bytes:
    """A DOCX with an archive of archives beside its text."""
    inner = zip_file([Entry("bomb.bin", packed=deflated(size), size=size)])
    outer = zip_file([Entry(f"{number}.zip", inner) for number in range(10)])
    return docx(["Text."], [Entry("word/embeddings/archive.zip", outer)])


def overlapping_zip() -> bytes:
    """A DOCX of which two parts are the same bytes of the archive."""
    return docx(["Text."], [Entry("word/numbering.xml", b"<x/>"), Entry("word/notes.xml", at=0)])


# --- the first bytes of other kinds ---------------------------------------------------------------

PNG_HEADER: Final = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"


def huge_png() -> bytes:
    """The start of a PNG of 100,000 x 100,000 pixels: a header without the pixels."""
    return PNG_HEADER + struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0) + b"\0" * 100


def animated_gif() -> bytes:
    """A GIF that says it has 65,535 x 65,535 pixels in many frames."""
    frame = b"\x21\xf9\x04\0\0\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x02\x02L\x01\0"
    return b"GIF89a\xff\xff\xff\xff\x80\0\0\0\0\0\xff\xff\xff" + frame * 50 + b";"
