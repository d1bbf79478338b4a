"""A PDF of plain pages, written by hand: one font, headings, paragraphs, page numbers."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from itertools import count
from typing import Final

WIDTH, HEIGHT = 595, 842  # A4, in points of 1/72 inch
MARGIN: Final = 72
# Widths of Helvetica's characters from the space to the tilde, in 1/1000 of the size of the font;
# from Adobe's metrics of the 14 standard fonts.
WIDTHS: Final = [
    *[278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556],
    *[556, 556, 556, 556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722],
    *[722, 667, 611, 778, 722, 278, 500, 667, 556, 833, 722, 778, 667, 778, 722, 667, 611, 722],
    *[667, 944, 667, 667, 611, 278, 278, 278, 469, 556, 333, 556, 556, 500, 556, 556, 278, 556],
    *[556, 222, 222, 500, 222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500],
    *[500, 334, 260, 334, 584],
]
PADDING: Final = bytes.fromhex("28bf4e5e4e758a4164004e56fffa01082e2e00b6d0683e802f0ca9fe6453697a")
"""What a password is filled up with: PDF Reference 1.7, algorithm 3.2."""
PERMISSIONS: Final = struct.pack("<i", -4)


@dataclass(frozen=True, slots=True)
class Style:
    """How a paragraph is set; sizes in points."""

    font: str
    size: int
    leading: int
    after: int


TITLE: Final = Style("F2", 18, 24, 14)
TEXT: Final = Style("F1", 11, 15, 8)


def write_pdf(source: str, *, password: str | None = None) -> bytes:
    """A PDF of a text.

    Args:
        source: Paragraphs of ASCII with empty lines between them; `# ` begins a page with a title.
        password: Without it the file does not open. The cipher is PDF's oldest (40 bits), for it
            needs no library and gives the same bytes each time: it keeps no secret.
    """
    pages = [f"# {page}" for page in source.removeprefix("# ").split("\n# ")]
    first = 5
    contents = range(first + 1, first + 2 * len(pages), 2)
    bodies = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        _pages(contents),
        *map(_font, ("Helvetica", "Helvetica-Bold")),
    ]
    cipher = _Cipher(password) if password else None
    for number, (content, page) in enumerate(zip(contents, pages, strict=True), start=1):
        drawn = _draw(page, number)
        stream = cipher.encrypt(drawn, content) if cipher else drawn
        bodies.append(_page(content))
        bodies.append(b"<< /Length %d >>\nstream\n%b\nendstream" % (len(stream), stream))
    if cipher:
        bodies.append(cipher.description())
    return _file(bodies, encrypted=cipher is not None)


def _pages(contents: range) -> bytes:
    kids = b" ".join(b"%d 0 R" % (content - 1) for content in contents)
    return b"<< /Type /Pages /Count %d /Kids [%b] >>" % (len(contents), kids)


def _page(content: int) -> bytes:
    fonts = b"<< /Font << /F1 3 0 R /F2 4 0 R >> >>"
    return (
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %d %d] /Resources %b /Contents %d 0 R >>"
        % (
            *(WIDTH, HEIGHT),
            *(fonts, content),
        )
    )


def _font(name: str) -> bytes:
    return b"<< /Type /Font /Subtype /Type1 /BaseFont /%b /Encoding /WinAnsiEncoding >>" % (
        name.encode()
    )


def _draw(page: str, number: int) -> bytes:
    top = HEIGHT - MARGIN
    lines = []
    for paragraph in page.strip().split("\n\n"):
        text = " ".join(paragraph.split())
        style = TITLE if text.startswith("# ") else TEXT
        for line in _wrap(text.removeprefix("# "), style.size):
            lines.append(_show(line, style, MARGIN, top))
            top -= style.leading
        top -= style.after
    if top < MARGIN:
        raise ValueError(f"page {number} is too long: {page[:40]!r}")
    lines.append(_show(str(number), TEXT, WIDTH // 2, MARGIN // 2))
    return b"\n".join(lines)


def _wrap(text: str, size: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".lstrip()
        width = sum(WIDTHS[ord(letter) - 32] for letter in longer) * size / 1000
        if width <= WIDTH - 2 * MARGIN:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _show(text: str, style: Style, left: int, top: int) -> bytes:
    escaped = text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
    return f"BT /{style.font} {style.size} Tf {left} {top} Td ({escaped}) Tj ET".encode("ascii")


def _file(bodies: list[bytes], *, encrypted: bool) -> bytes:
    file = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"
    starts = []
    for number, body in enumerate(bodies, start=1):
        starts.append(len(file))
        file += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    size = len(bodies) + 1
    table = b"".join(b"%010d 00000 n \n" % start for start in starts)
    trailer = b"/Size %d /Root 1 0 R /ID [<%b> <%b>]" % (size, ID_TEXT, ID_TEXT)
    if encrypted:
        trailer += b" /Encrypt %d 0 R" % len(bodies)
    return (
        file
        + b"xref\n0 %d\n0000000000 65535 f \n%btrailer\n<< %b >>\nstartxref\n%d\n%%%%EOF\n"
        % (
            *(size, table),
            *(trailer, len(file)),
        )
    )


ID: Final = hashlib.sha256(b"Hollin Mill").digest()[:16]
ID_TEXT: Final = ID.hex().encode()


class _Cipher:
    """The standard security handler, version 1, with one password for users and owners."""

    def __init__(self, password: str) -> None:
        padded = (password.encode() + PADDING)[:32]
        self._owner = _rc4(_md5(padded)[:5], padded)
        self._key = _md5(padded + self._owner + PERMISSIONS + ID)[:5]

    def description(self) -> bytes:
        user = _rc4(self._key, PADDING)
        return b"<< /Filter /Standard /V 1 /R 2 /O <%b> /U <%b> /P -4 >>" % (
            self._owner.hex().encode(),
            user.hex().encode(),
        )

    def encrypt(self, data: bytes, number: int) -> bytes:
        """Encrypt the stream of an object."""
        return _rc4(_md5(self._key + struct.pack("<I", number)[:3] + b"\0\0")[:10], data)


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def _rc4(key: bytes, data: bytes) -> bytes:
    state = list(range(256))
    other = 0
    for place in range(256):
        other = (other + state[place] + key[place % len(key)]) % 256
        state[place], state[other] = state[other], state[place]
    other = 0
    result = bytearray()
    for letter, place in zip(data, (number % 256 for number in count(1)), strict=False):
        other = (other + state[place]) % 256
        state[place], state[other] = state[other], state[place]
        result.append(letter ^ state[(state[place] + state[other]) % 256])
    return bytes(result)
