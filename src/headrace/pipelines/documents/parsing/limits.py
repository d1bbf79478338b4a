"""How much of a file is read before it is refused."""

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ParseLimits:
    """What a file may hold. A file over a limit is refused whole; nothing is ever cut.

    Attributes:
        pages: Of a PDF; compared before any of them is read.
        characters: Of the Markdown that comes out. 10 million are about 4,000 printed pages.
        html_elements: Of a page. Each takes up to 1 KB while it is converted (measured), and the
            converter ends its process where it gets no memory.
        zip_entries: Files in a DOCX, pictures included.
        zip_bytes: Of all XML in a DOCX together, counted while it is inflated.
        zip_ratio: Bytes that come out of one compressed byte of a DOCX, once 1 MiB has come out.
            Text of people stays under 30; deflate itself ends at 1,032.
        xml_nodes: Elements and attributes of one XML part. Each takes up to 1.2 KB while a DOCX is
            converted (measured), so this is what bounds its memory.
        xml_depth: Elements inside each other.
    """

    pages: int = 2_000
    characters: int = 10_000_000
    html_elements: int = 750_000
    zip_entries: int = 5_000
    zip_bytes: int = 64 * MIB
    zip_ratio: int = 250
    xml_nodes: int = 500_000
    xml_depth: int = 100
