"""What holds for every file: no other error than a UserError, and lines that can be counted."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace import UserError
from headrace.pipelines.documents.parsing import (
    Kind,
    ParseLimits,
    kind_of,
    normalise,
    page_at,
    parse,
)
from tests.documents.files import Entry, docx, docx_entries, pdf
from tests.documents.reading import read

FAST = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
LIMITS = ParseLimits(pages=20, characters=100_000, zip_bytes=1_000_000, xml_nodes=5_000)
WHOLE = {
    Kind.PDF: pdf(["# Title\n\nSome text on page one.", "", "Page three."]),
    Kind.DOCX: docx(["# Title", "Some text.", [["Name", "Age"], ["Ada", "36"]]]),
    Kind.HTML: b"<!DOCTYPE html><html><head><title>T</title></head><body><h1>A</h1><p>B <a "
    b"href='http://c.org/'>C</a><table><tr><td>D</table><pre>E</pre></body></html>",
    Kind.MARKDOWN: "# Größe\n\n- eins\n- zwei\n".encode(),
    Kind.TEXT: "Ein Text – mit Strich.\n".encode("utf-16"),
}
TEXTS = st.text(st.characters(codec=None), max_size=200)
WORDS = st.text(st.sampled_from("abc de- •.1)#€ä\n"), max_size=80)


@st.composite
def mutated(draw: st.DrawFn, data: bytes) -> bytes:
    """A file with some bytes changed, dropped, doubled or put in."""
    out = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(out)))
        end = min(len(out), start + draw(st.sampled_from([0, 1, 1, 4, 40])))
        new = draw(st.one_of(st.binary(max_size=6), st.just(bytes(out[start:end]) * 2)))
        out[start:end] = new
    return bytes(out)


def check(data: bytes, kind: Kind) -> None:
    """Whatever it is, it parses to something that can be stored, or is refused."""
    try:
        parsed = parse(data, kind, LIMITS)
    except UserError:
        return
    assert parsed.markdown == normalise(parsed.markdown)
    assert parsed.markdown
    assert len(parsed.markdown) <= LIMITS.characters
    assert b"\0" not in parsed.markdown.encode()
    assert parsed.pages == sorted(parsed.pages)


class TestAnyBytes:
    @pytest.mark.parametrize("kind", Kind)
    @given(data=st.data())
    @FAST
    def test_a_mutated_file_is_read_or_refused(self, kind: Kind, data: st.DataObject):
        check(data.draw(mutated(WHOLE[kind])), kind)

    @pytest.mark.parametrize("kind", Kind)
    @given(data=st.binary(max_size=300))
    @FAST
    def test_noise_is_read_or_refused(self, kind: Kind, data: bytes):
        check(data, kind)

    @given(
        data=st.one_of(st.binary(max_size=100), *(mutated(data) for data in WHOLE.values())),
        name=st.text(max_size=10),
    )
    @FAST
    def test_every_file_has_a_kind_or_is_refused(self, data: bytes, name: str):
        try:
            kind = kind_of(data, name)
        except UserError:
            return
        check(data, kind)

    @pytest.mark.parametrize("part", ["word/document.xml", "word/styles.xml", "_rels/.rels"])
    @given(data=st.data())
    @FAST
    def test_a_whole_archive_with_a_mutated_part_is_read_or_refused(
        self, part: str, data: st.DataObject
    ):
        """The checksums are right, so this reaches the XML and what converts it."""
        [text] = [entry.data for entry in docx_entries(["# T", [["a"]]]) if entry.name == part]
        places = st.integers(0, len(text) - 1)
        start, end, to = (data.draw(places) for _ in range(3))
        piece = text[min(start, end) : max(start, end)][:60]
        changed = data.draw(
            st.sampled_from([text.replace(piece, b""), text[:to] + piece + text[to:]])
        )
        check(docx(["# T", [["a"]]], [Entry(part, changed)]), Kind.DOCX)

    @given(data=st.data())
    @FAST
    def test_a_page_with_a_mutated_stream_is_read_or_refused(self, data: st.DataObject):
        text = data.draw(mutated(b"BT /F1 11 Tf 72 700 Td (Some) Tj T* [(te) -9 (xt)] TJ ET"))
        head, _, tail = pdf(["Text."]).partition(b"stream\n")
        _, _, end = tail.partition(b"\nendstream")
        check(head + b"stream\n" + text + b"\nendstream" + end, Kind.PDF)


class TestNormalise:
    @given(TEXTS)
    @FAST
    def test_twice_is_once(self, text: str):
        assert normalise(normalise(text)) == normalise(text)

    @given(TEXTS)
    @FAST
    def test_all_count_the_same_lines(self, text: str):
        text = normalise(text)
        assert text.split("\n") == (text.splitlines() or [""])
        assert all(line == line.rstrip() for line in text.splitlines())
        assert text == text.strip()
        text.encode()

    @given(TEXTS)
    @FAST
    def test_no_printable_character_is_lost(self, text: str):
        def shown(text: str) -> str:
            return "".join(character for character in text if character.isprintable()).replace(
                " ", ""
            )

        assert shown(normalise(text)).replace("\ufffd", "") == shown(text).replace("\ufffd", "")


class TestPages:
    @given(st.lists(st.lists(WORDS, max_size=4).map("\n".join), min_size=1, max_size=6))
    @FAST
    def test_the_line_of_a_page_is_its_first_line(self, texts: list[str]):
        """Each page is recognised by a word of its own."""
        marked = [f"page{number} {text}" if text else "" for number, text in enumerate(texts)]
        if not any(marked):
            return
        parsed = read(pdf(marked))
        lines = parsed.markdown.split("\n")
        assert len(parsed.pages) == len(texts)
        for number, (text, start) in enumerate(zip(marked, parsed.pages, strict=True)):
            if text:
                assert lines[start - 1].removeprefix("# ").startswith(f"page{number}")
                assert page_at(parsed.pages, start) == number + 1
            else:
                assert start == (parsed.pages[number + 1 :] or [len(lines) + 1])[0]

    @given(st.lists(WORDS, min_size=1, max_size=5))
    @FAST
    def test_no_letter_of_a_page_is_lost_or_moved(self, texts: list[str]):
        text = "x " + "\n".join(texts)
        letters = [character for character in text if character.isalnum() or character in "€)."]
        found = [
            character
            for character in read(pdf([text])).markdown
            if character.isalnum() or character in "€)."
        ]
        assert found == letters
