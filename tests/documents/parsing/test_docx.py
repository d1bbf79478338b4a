"""Word documents, and F2: XML that is made to harm."""

import socket
from pathlib import Path
from xml.parsers import expat

import pytest

from headrace.pipelines.documents.parsing import DamagedFileError, FileLimitError, NoTextError
from headrace.pipelines.documents.parsing.parts import SAFE_EXPAT
from tests.documents.files import Entry, docx, docx_entries, docx_picture, docx_relationships
from tests.documents.reading import read, refused

LAUGHS = (
    '<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>'
)
EXTERNAL = '<!DOCTYPE l [<!ENTITY x SYSTEM "{address}">]>'
REMOTE = '<!DOCTYPE l SYSTEM "{address}">'


def part(name: str, *, before: str = "", after: str = "", size: int | None = None) -> Entry:
    """A part of the DOCX that says `Text.`, with something before or after its root element."""
    [entry] = [entry for entry in docx_entries(["Text."]) if entry.name == name]
    head, mark, root = entry.data.decode().partition("?>\n")
    return Entry(name, (head + mark + before + root + after).encode(), size=size)


class TestText:
    def test_headings_paragraphs_and_tables_stay_what_they_are(self):
        data = docx(
            ["# Report", "First & <second>.", [["Name", "Age"], ["Ada", "36"]], "## Part", "End."]
        )
        assert read(data).markdown == (
            "# Report\n\nFirst & <second>.\n\n"
            "| Name | Age |\n| --- | --- |\n| Ada | 36 |\n\n## Part\n\nEnd."
        )

    def test_it_has_no_pages(self):
        assert read(docx(["Text."])).pages == []

    def test_a_title_is_a_heading(self):
        styles = part("word/styles.xml").data
        styles = styles.replace(b"Heading1", b"T9").replace(b"heading 1", b"Title")
        title = '<w:p><w:pPr><w:pStyle w:val="T9"/></w:pPr><w:r><w:t>Report</w:t></w:r></w:p>'
        data = docx([title, "Text."], [Entry("word/styles.xml", styles)])
        assert read(data).markdown == "# Report\n\nText."

    def test_footnotes_are_kept(self):
        note = (
            '<w:footnotes xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">'
            '<w:footnote w:id="2"><w:p><w:r><w:t>A note.</w:t></w:r></w:p></w:footnote>'
            "</w:footnotes>"
        )
        reference = '<w:p><w:r><w:footnoteReference w:id="2"/></w:r></w:p>'
        data = docx(["Text.", reference], [Entry("word/footnotes.xml", note.encode())])
        assert "A note." in read(data).markdown

    @pytest.mark.parametrize("blocks", [[], [""], [[[""]]]])
    def test_one_without_text_says_so(self, blocks: list[str]):
        refused(docx(blocks), NoTextError, "there is no text in the file")

    def test_pictures_are_dropped(self):
        data = docx(
            ["Before.", docx_picture("rId9"), "After."],
            [
                Entry("word/_rels/document.xml.rels", _relation("media/p.png").encode()),
                Entry("word/media/p.png", b"\x89PNG" + bytes(1000)),
            ],
        )
        assert read(data).markdown == "Before.\n\nAfter."

    def test_what_a_macro_or_an_embedded_file_holds_is_never_read(self):
        """Their bytes are no deflate stream: to inflate them would fail."""
        extra = [
            Entry(name, packed=b"\xff" * 50, size=10**9)
            for name in ("word/vbaProject.bin", "word/embeddings/a.docx", "word/fonts/f.odttf")
        ]
        assert read(docx(["Text."], extra)).markdown == "Text."


def _relation(target: str, *, external: bool = False) -> str:
    return docx_relationships(("rId9", "image", target), external=external)


class TestEntities:
    """F2."""

    def test_this_expat_stops_entities_by_itself_too(self):
        assert expat.version_info >= SAFE_EXPAT

    @pytest.mark.parametrize(
        "name",
        [
            "word/document.xml",
            "word/styles.xml",
            "word/_rels/document.xml.rels",
            "_rels/.rels",
            "[Content_Types].xml",
        ],
    )
    @pytest.mark.parametrize("before", [LAUGHS, EXTERNAL, REMOTE, "<!DOCTYPE w>"])
    def test_a_document_type_is_refused_in_every_part(self, name: str, before: str):
        data = docx(["Text."], [part(name, before=before.format(address="file:///etc/passwd"))])
        refused(data, DamagedFileError, f"{name} in the file declares a document type")

    @pytest.mark.parametrize("name", ["customXml/item1.xml", "word/svg.xml", "docProps/core.xml"])
    def test_also_in_parts_that_nothing_needs(self, name: str):
        data = docx(["Text."], [Entry(name, f"{LAUGHS}<l>&c;</l>".encode())])
        refused(data, DamagedFileError, f"{name} in the file declares a document type")

    def test_in_another_encoding_too(self):
        data = docx(["Text."], [Entry("word/x.xml", f"{LAUGHS}<l>&c;</l>".encode("utf-16"))])
        refused(data, DamagedFileError, "declares a document type")

    def test_nothing_is_fetched(self, tmp_path: Path):
        secret = tmp_path / "secret.png"
        secret.write_bytes(b"secret")
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(0)
            for address in (secret.as_uri(), f"http://127.0.0.1:{server.getsockname()[1]}/x.png"):
                relations = Entry(
                    "word/_rels/document.xml.rels", _relation(address, external=True).encode()
                )
                data = docx(["Text.", docx_picture("rId9", linked=True)], [relations])
                assert read(data).markdown == "Text."
                for declaration in (EXTERNAL, REMOTE):
                    before = declaration.format(address=address)
                    evil = docx(["Text."], [part("word/document.xml", before=before)])
                    refused(evil, DamagedFileError, "declares a document type")
            with pytest.raises(BlockingIOError):
                server.accept()


class TestDamage:
    @pytest.mark.parametrize(
        "text",
        [b"", b"<w:document", b"<a></b>", b"\xff\xfe<", b'<?xml version="1.0" encoding="x"?><a/>'],
    )
    def test_a_part_that_is_no_xml(self, text: bytes):
        data = docx(["Text."], [Entry("word/document.xml", text)])
        refused(data, DamagedFileError, "word/document.xml in the file is not well-formed XML")

    def test_xml_that_is_no_document(self):
        data = docx(["Text."], [Entry("word/document.xml", b"<html/>")])
        refused(data, DamagedFileError, "the file is not a whole Word document")

    def test_a_relationship_to_a_document_that_is_not_there(self):
        main = docx_relationships(("rId1", "officeDocument", "word/other.xml"))
        data = docx(["Text."], [Entry("_rels/.rels", main.encode())])
        assert read(data).markdown == "Text."


class TestLimits:
    def test_too_many_elements(self):
        data = docx(["Text."] * 200)
        assert read(data, xml_nodes=2_000).markdown
        refused(data, FileLimitError, "has more than 500 elements", xml_nodes=500)

    def test_attributes_count_as_elements_do(self):
        many = " ".join(f'a{number}="x"' for number in range(1_000))
        data = docx(["Text."], [Entry("word/x.xml", f"<x {many}/>".encode())])
        refused(data, FileLimitError, "has more than 900 elements", xml_nodes=900)

    @pytest.mark.parametrize("depth", [101, 100_000])
    def test_elements_too_deep(self, depth: int):
        text = b"<x>" * depth + b"</x>" * depth
        data = docx(["Text."], [Entry("word/x.xml", text)])
        refused(data, FileLimitError, "word/x.xml in the file are nested too deeply")

    def test_the_default_depth_is_one_that_can_be_converted(self):
        """Tables in tables are the deepest that a document can be."""
        inner: str = "Text."
        for _ in range(30):  # 3 elements a table, and 5 around
            [entry] = [e for e in docx_entries([[["x"]]]) if e.name == "word/document.xml"]
            body = entry.data.decode()
            table = body[body.index("<w:tbl>") : body.index("</w:body>")]
            block = inner if inner.startswith("<w:") else "<w:p><w:r><w:t>Text.</w:t></w:r></w:p>"
            start, end = table.index("<w:p>"), table.index("</w:tc>")
            inner = table[:start] + block + table[end:]
        assert "Text." in read(docx([inner])).markdown

    def test_too_many_characters(self):
        refused(docx(["x" * 50, "y" * 50]), FileLimitError, "more than 101", characters=101)
