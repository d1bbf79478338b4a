"""PDF files: whole ones page by page, and F3: broken, huge and hostile ones."""

import time
import zlib

import pypdfium2
import pytest

from headrace.pipelines.documents.parsing import (
    DamagedFileError,
    FileLimitError,
    LockedFileError,
    NoTextError,
    page_at,
)
from headrace.pipelines.documents.parsing.layout import Line, heading_levels
from tests.documents.files import (
    assemble_pdf,
    big_pdf,
    cyclic_pdf,
    encrypted_pdf,
    inflating_pdf,
    looping_pdf,
    pdf,
    pdf_objects,
    pdf_stream,
    scanned_pdf,
)
from tests.documents.reading import read, refused

LINE = "The quick brown fox jumps over the lazy dog and then goes home to sleep"


class TestText:
    def test_lines_of_a_paragraph_are_joined(self):
        data = pdf([f"{LINE}\n{LINE}\nwell.\n\n{LINE}\n{LINE}\ntoo."])
        first, second = read(data).markdown.split("\n\n")
        assert first == f"{LINE} {LINE} well."
        assert second == f"{LINE} {LINE} too."

    def test_a_line_that_was_ended_on_purpose_stays_one(self):
        data = pdf([f"{LINE}\n{LINE}\n\nName Age\nAda 36\nGrace 85"])
        assert read(data).markdown.endswith("\n\nName Age\nAda 36\nGrace 85")

    def test_also_one_that_is_long_but_had_room(self):
        data = pdf([f"{LINE}\nThis line is long enough, but it ends here\n{LINE}\nand here"])
        assert read(data).markdown == (
            f"{LINE} This line is long enough, but it ends here\n{LINE} and here"
        )

    def test_items_of_a_list_stay_apart(self):
        data = pdf([f"- {LINE}\n- {LINE}\n{LINE}\n1. {LINE}\n2. {LINE}\n• {LINE}"])
        lines = read(data).markdown.split("\n")
        assert lines == [f"- {LINE}", f"- {LINE} {LINE}", f"1. {LINE}", f"2. {LINE}", f"- {LINE}"]

    @pytest.mark.parametrize(
        ("first", "second", "joined"),
        [("para-", "graph", "paragraph"), ("post-", "War", "post-War")],
    )
    def test_a_word_cut_by_a_hyphen_is_whole_again(self, first: str, second: str, joined: str):
        data = pdf([f"{LINE} {first}\n{second} {LINE}"])
        assert read(data).markdown == f"{LINE} {joined} {LINE}"

    def test_larger_lines_are_headings(self):
        data = pdf([f"# Report\n\n{LINE}\n{LINE}", f"## Part one\n{LINE}\n\n# Other\n\n{LINE}"])
        lines = read(data).markdown.split("\n")
        assert [line for line in lines if "#" in line] == ["# Report", "## Part one", "# Other"]

    def test_the_size_counts_as_it_is_printed_not_as_it_is_set(self):
        """Many programs write all text in size 1 and scale it."""
        data = pdf([f"# Report\n\n{LINE}\n{LINE}"])
        scaled = data.replace(b"/F1 20 Tf 1 0 0 1", b"/F1 1 Tf 20 0 0 20")
        scaled = scaled.replace(b"/F1 11 Tf 1 0 0 1", b"/F1 1 Tf 11 0 0 11")
        assert b" 11 Tf" not in scaled
        assert read(scaled).markdown == read(data).markdown == f"# Report\n\n{LINE} {LINE}"

    def test_the_height_of_a_font_is_not_its_size(self):
        """A line that begins in a font with tall letters is no heading."""
        font = b"/Type /Font /Subtype /Type1 /BaseFont /Symbol /FontDescriptor 9 0 R"
        objects = pdf_objects(
            [
                (
                    b"BT /F1 11 Tf 72 700 Td (Some words that are first) Tj 0 -14 Td "
                    b"/F9 11 Tf (a) Tj /F1 11 Tf ( and others) Tj 0 -14 Td (end) Tj ET"
                )
            ],
        )
        objects[4] = objects[4].replace(b"/F1 3 0 R", b"/F1 3 0 R /F9 8 0 R")
        objects[8] = b"<< %s >>" % font
        objects[9] = (
            b"<< /Type /FontDescriptor /FontName /Symbol /Flags 4 /Ascent 2000 /Descent -900 "
            b"/FontBBox [0 -900 900 2000] /ItalicAngle 0 /CapHeight 1900 /StemV 80 >>"
        )
        assert "#" not in read(assemble_pdf(objects)).markdown

    def test_entries_of_a_table_of_contents_stay_apart(self):
        dots = ". " * 45
        data = pdf([f"Beginning {dots}1\nMiddle {dots}25\n2.1 End {dots}260"])
        assert read(data).markdown.count("\n") == 2

    def test_a_heading_of_two_lines_is_one(self):
        data = pdf([f"# A long title that goes on\n# in a second line\n\n{LINE}\n{LINE}\n{LINE}"])
        assert read(data).markdown.startswith("# A long title that goes on in a second line\n\n")

    def test_a_page_of_large_text_has_no_headings(self):
        data = pdf(["# One thing\n\n# Another thing\n\nsmall"])
        assert "#" not in read(data).markdown

    def test_a_page_of_which_a_third_is_large_has_none_either(self):
        data = pdf(
            [
                (
                    "# Forty characters of text on a slide\n\n"
                    "and fifty-five of small text below it, like a note to it"
                )
            ]
        )
        assert "#" not in read(data).markdown

    def test_lines_of_unknown_size_make_no_headings(self):
        lines = [Line("Text", left=0, right=9, start=9, end=9, size=size) for size in (0, 0, 0, 12)]
        assert heading_levels([*lines[:3] * 3, lines[3]]) == {}

    def test_columns_are_read_one_after_the_other(self):
        assert read(pdf(["Left\nbelow\fRight\nbelow that"])).markdown == (
            "Left\nbelow\n\nRight\nbelow that"
        )

    def test_letters_beyond_ascii(self):
        assert read(pdf(["Größe: 5 € – naïve (yes) \\ no"])).markdown == (
            "Größe: 5 € – naïve (yes) \\ no"
        )

    def test_letters_beyond_the_basic_plane_do_not_shift_what_follows(self):
        objects = pdf_objects([b"BT /F1 11 Tf 72 700 Td (AAB) Tj 0 -14 Td (end of it) Tj ET"])
        objects[3] = objects[3].replace(b">>", b"/ToUnicode 9 0 R >>")
        objects[9] = pdf_stream(
            b"/CIDInit /ProcSet findresource begin begincmap 1 begincodespacerange <00> <FF> "
            b"endcodespacerange 2 beginbfchar <41> <D835DC65> <42> <D800> endbfchar endcmap end"
        )
        assert read(assemble_pdf(objects)).markdown == "\U0001d465\U0001d465\ufffd\nend of it"


class TestPages:
    def test_each_begins_on_a_known_line(self):
        parsed = read(pdf(["One\nmore", "Two", "Three"]))
        lines = parsed.markdown.split("\n")
        assert [lines[start - 1] for start in parsed.pages] == ["One", "Two", "Three"]

    def test_an_empty_one_begins_where_the_next_text_does(self):
        parsed = read(pdf(["", "Two", "", "", "Five", ""]))
        assert parsed.markdown == "Two\n\nFive"
        assert parsed.pages == [1, 1, 3, 3, 3, 4]

    def test_the_page_of_a_line_is_the_one_with_its_text(self):
        parsed = read(pdf(["", "Two", "", "", "Five", ""]))
        assert [page_at(parsed.pages, line) for line in (1, 2, 3)] == [2, 2, 5]

    def test_other_kinds_have_none(self):
        assert page_at(read(b"Text").pages, 1) is None


class TestDamage:
    def test_one_that_was_cut_off(self):
        data = pdf([LINE] * 3)
        for length in range(10, len(data) - 6, 50):
            refused(data[:length], DamagedFileError, "the end of the PDF is missing")

    def test_the_end_must_be_at_the_end(self):
        refused(pdf([LINE]) + b"x" * 2000, DamagedFileError, "the end of the PDF is missing")

    def test_padding_behind_the_end_is_none(self):
        assert read(pdf([LINE]) + bytes(5000)).markdown == LINE

    def test_a_header_and_an_end_with_nothing_between(self):
        refused(b"%PDF-1.7\n%%EOF\n", DamagedFileError, "damaged and cannot be opened")

    def test_one_without_pages(self):
        refused(pdf([]), DamagedFileError, "the PDF has no pages")

    def test_one_with_a_page_that_is_not_there(self):
        data = pdf(["One", "Two", "Three"]).replace(b"6 0 R", b"99 0 R")
        refused(data, DamagedFileError, "page 2 of 3 of the PDF is damaged")

    def test_one_whose_page_tree_holds_itself(self):
        refused(cyclic_pdf(), DamagedFileError, "page 2 of 5 of the PDF is damaged")

    def test_one_with_a_form_that_draws_itself_ends(self):
        assert read(looping_pdf()).markdown == "Again."


class TestLocks:
    def test_one_with_a_password(self):
        refused(encrypted_pdf(), LockedFileError, "protected by a password; save it without one")

    def test_the_password_is_what_was_missing(self):
        document = pypdfium2.PdfDocument(encrypted_pdf("secret"), password="secret")  # noqa: S106
        assert document[0].get_textpage().get_text_range() == "Secret text."

    def test_one_that_opens_without_a_password_is_read(self):
        assert read(encrypted_pdf("")).markdown == "Secret text."

    def test_one_of_an_unknown_encryption(self):
        data = encrypted_pdf("").replace(b"/Filter /Standard", b"/Filter /Whatever")
        refused(data, LockedFileError, "encrypted in a way that cannot be read")


class TestLimits:
    def test_too_many_pages_are_refused_before_they_are_read(self):
        data = big_pdf(10_000)
        start = time.process_time()
        refused(data, FileLimitError, "the PDF has 10,000 pages; at most 2,000 are accepted")
        assert time.process_time() - start < 0.5  # reading them takes 2 s

    def test_as_many_as_the_limit_are_read(self):
        assert len(read(big_pdf(5), pages=5).pages) == 5

    def test_a_lie_about_the_number_of_pages_is_refused(self):
        data = pdf(["One", "Two"]).replace(b"/Count 2", b"/Count 9")
        refused(data, DamagedFileError, "of the PDF is damaged")

    def test_too_many_characters_are_refused_whole(self):
        data = pdf([LINE] * 4)
        assert len(read(data).markdown) == 4 * len(LINE) + 6
        refused(data, FileLimitError, "more than 289 characters", characters=289)
        refused(data, FileLimitError, "more than 200 characters", characters=200)

    def test_they_are_refused_before_the_next_page_is_read(self):
        data = pdf([LINE, "Two", "Three"]).replace(b"6 0 R", b"99 0 R")
        refused(data, FileLimitError, "more than 50 characters", characters=50)

    def test_a_scan_says_what_it_needs(self):
        refused(scanned_pdf(), NoTextError, "run text recognition (OCR) on it first")

    def test_a_stream_that_inflates_is_small_in_the_file(self):
        """That it ends by the memory limit is a test of the process around the parser."""
        data = inflating_pdf(8 * 1024 * 1024)
        assert len(data) < 5_000
        packed = data[data.index(b"stream\n", data.index(b"FlateDecode]")) + 7 :]
        once = zlib.decompressobj().decompress(packed)
        assert len(zlib.decompressobj().decompress(once)) == 8 * 1024 * 1024
