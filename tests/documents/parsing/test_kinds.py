"""What a file is: by its content, never by its name."""

import pickle

import pytest

from headrace.pipelines.documents.parsing import (
    DamagedFileError,
    Kind,
    UnsupportedFileError,
    kind_of,
)
from tests.documents.files import (
    Entry,
    animated_gif,
    docx,
    docx_entries,
    huge_png,
    pdf,
    zip_file,
)


class TestAccepted:
    @pytest.mark.parametrize(
        ("data", "kind"),
        [
            (pdf(["Text."]), Kind.PDF),
            (docx(["Text."]), Kind.DOCX),
            (b"<!DOCTYPE html><p>Text.", Kind.HTML),
            (b"<p>Text.</p>", Kind.HTML),
            (b"# Text", Kind.TEXT),
        ],
    )
    @pytest.mark.parametrize("name", ["", "a.exe", "a.pdf", "a.docx", "a.html", "a.txt"])
    def test_the_name_decides_nothing(self, data: bytes, kind: Kind, name: str):
        assert kind_of(data, name) is kind

    @pytest.mark.parametrize("name", ["a.md", "a.MD", "b.c.markdown"])
    def test_but_markdown_from_plain_text(self, name: str):
        assert kind_of(b"# Text", name) is Kind.MARKDOWN

    def test_markdown_may_begin_with_elements_of_html(self):
        data = b'<!-- badge --><p align="center"><b>Name</b></p>\n\n# Name\n'
        assert kind_of(data, "README.md") is Kind.MARKDOWN
        assert kind_of(data, "README.html") is Kind.HTML

    def test_a_whole_page_is_html_whatever_its_name(self):
        assert kind_of(b"<html><body>Text</body></html>", "page.md") is Kind.HTML

    @pytest.mark.parametrize(
        "prelude",
        [b"", b"\xef\xbb\xbf", b"\n\n  ", b"<!-- a -->\n<!-- b -->", b'<?xml version="1.0"?>\n'],
    )
    def test_html_may_begin_with_marks_blanks_and_comments(self, prelude: bytes):
        assert kind_of(prelude + b"<!DOCTYPE html PUBLIC 'x'><html>x") is Kind.HTML

    def test_html_in_utf_16_is_seen(self):
        assert kind_of("\ufeff<html><p>Text".encode("utf-16-le")) is Kind.HTML

    def test_a_word_document_may_have_a_number(self):
        entries = [
            Entry("word/document2.xml", entry.data) if entry.name == "word/document.xml" else entry
            for entry in docx_entries(["Text."])
        ]
        assert kind_of(zip_file(entries)) is Kind.DOCX

    @pytest.mark.parametrize("text", [b"a < b", b"<3 it", b"<someone@example.org> wrote", b"{}"])
    def test_text_may_begin_like_something_else(self, text: bytes):
        assert kind_of(text) is Kind.TEXT

    @pytest.mark.parametrize("kind", Kind)
    def test_each_has_a_media_type_and_a_suffix(self, kind: Kind):
        assert "/" in kind.mime
        assert kind.suffix.startswith(".")


class TestRefused:
    @pytest.mark.parametrize("data", [b"", b" \r\n\t", b"\xef\xbb\xbf\n"])
    def test_nothing(self, data: bytes):
        with pytest.raises(UnsupportedFileError, match="empty"):
            kind_of(data, "a.txt")

    @pytest.mark.parametrize(
        ("data", "description"),
        [
            (huge_png(), "a PNG image"),
            (animated_gif(), "a GIF image"),
            (b"\xff\xd8\xff\xe0\0\x10JFIF", "a JPEG image"),
            (b"II*\0\x08\0\0\0", "a TIFF image"),
            (b"RIFF\0\0\0\0WEBPVP8 ", "a WebP image"),
            (b'<svg xmlns="http://www.w3.org/2000/svg"><text>x</text></svg>', "SVG image"),
        ],
    )
    def test_an_image_by_its_header_alone(self, data: bytes, description: str):
        """F4: however many pixels it claims, nothing decodes it."""
        with pytest.raises(UnsupportedFileError, match=f"{description}.*are accepted"):
            kind_of(data, "a.pdf")

    @pytest.mark.parametrize(
        ("data", "description"),
        [
            (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512), "save it as DOCX, unprotected"),
            (b"\x7fELF\x02\x01\x01" + bytes(50), "a program"),
            (b"MZ\x90\0\x03" + bytes(50), "a program"),
            (b"{\\rtf1 Text.}", "an RTF file"),
            (b"%!PS-Adobe-3.0\n", "a PostScript file"),
            (b'<?xml version="1.0"?><feed/>', "an XML file"),
            (b"<!-- made by hand -->\n<svg></svg>", "an XML file or an SVG image"),
            (b"\x1f\x8b\x08" + bytes(30), "a gzip archive"),
            (b"SQLite format 3\0" + bytes(100), "SQLite"),
            (pickle.dumps([b"\0" * 100]), "binary data"),
            (b"\x93NUMPY\x01\0v\0{'descr': '|O'}", "a NumPy array"),
            (bytes(range(256)) * 10, "binary data"),
            (b"!<arch>\n" + bytes(60), r"first bytes: Unix archiver \(ar\) \(PDF"),
            (bytes(60), "the file is binary data, not text"),
            ("Text without a mark".encode("utf-16-le"), "binary data"),
        ],
    )
    def test_binary_data_with_a_name_for_it(self, data: bytes, description: str):
        with pytest.raises(UnsupportedFileError, match=f"{description}.*are accepted"):
            kind_of(data, "a.txt")

    @pytest.mark.parametrize(
        ("entry", "description"),
        [
            ("xl/workbook.xml", "an Excel workbook"),
            ("ppt/presentation.xml", "a PowerPoint presentation"),
            ("content.xml", "an OpenDocument file"),
            ("META-INF/container.xml", "an EPUB book"),
            ("report.docx", "a zip archive"),
        ],
    )
    def test_archives_that_are_no_word_document(self, entry: str, description: str):
        data = zip_file([Entry("[Content_Types].xml", b"<x/>"), Entry(entry, docx(["Text."]))])
        with pytest.raises(UnsupportedFileError, match=f"{description}.*are accepted"):
            kind_of(data, "a.docx")

    def test_an_empty_archive(self):
        with pytest.raises(UnsupportedFileError, match="a zip archive"):
            kind_of(zip_file([]))

    def test_an_archive_that_was_cut_off(self):
        with pytest.raises(DamagedFileError, match="cut off"):
            kind_of(docx(["Text."])[:-30])


class TestPolyglots:
    """F5: a file that is two kinds is the one that its first byte says, and only that."""

    def test_an_archive_behind_a_pdf_is_a_pdf(self):
        assert kind_of(pdf(["Text."]) + docx(["Other."])) is Kind.PDF

    def test_a_pdf_behind_an_image_is_an_image(self):
        with pytest.raises(UnsupportedFileError, match="a GIF image"):
            kind_of(b"GIF89a" + pdf(["Text."]))

    def test_a_pdf_inside_a_text_is_a_text(self):
        assert kind_of(b"See: %PDF-1.7 is how a PDF begins") is Kind.TEXT

    def test_an_archive_behind_a_text_is_no_archive(self):
        with pytest.raises(UnsupportedFileError, match="binary data"):
            kind_of(b"#!/bin/sh\n" + docx(["Text."]))
