"""Text and Markdown: encodings, and F6: texts that make slow code explode."""

import contextlib
import time
from collections.abc import Callable

import pytest

from headrace.pipelines.documents.parsing import (
    FileLimitError,
    Kind,
    NoTextError,
    ParseLimits,
    UnsupportedFileError,
    normalise,
    parse,
)
from tests.documents.reading import read, refused

SIZE = 25 * 1024 * 1024  # the largest file that is accepted
ROOM = ParseLimits(characters=2 * SIZE)


class TestEncodings:
    @pytest.mark.parametrize(
        ("mark", "encoding"),
        [
            (b"", "utf-8"),
            (b"", "cp1252"),
            (b"\xef\xbb\xbf", "utf-8"),
            (b"\xff\xfe", "utf-16-le"),
            (b"\xfe\xff", "utf-16-be"),
            (b"\xff\xfe\0\0", "utf-32-le"),
            (b"\0\0\xfe\xff", "utf-32-be"),
        ],
    )
    def test_the_usual_ones_are_told_apart(self, mark: bytes, encoding: str):
        text = "Größe: 5 € – naïve"
        assert read(mark + text.encode(encoding)).markdown == text

    def test_utf_8_with_a_broken_byte_stays_utf_8(self):
        data = "Größe Äpfel für 5 € – naïve Übungen".encode() + b" \xff end"
        assert read(data).markdown == "Größe Äpfel für 5 € – naïve Übungen \ufffd end"

    def test_utf_8_that_is_cut_in_a_letter_stays_utf_8(self):
        assert read("ÄÖÜäöüßéèê€".encode()[:-1]).markdown == "ÄÖÜäöüßéèê\ufffd"

    def test_what_a_text_says_of_itself_counts_only_for_pages(self):
        assert read('Say <meta charset="koi8-r"> \xe4'.encode("cp1252")).markdown.endswith("ä")


class TestStorable:
    """What comes out can be written to PostgreSQL and hashed as UTF-8."""

    @pytest.mark.parametrize(
        "data",
        [
            "\ufeff".encode("utf-16-le") + b"a\0\0\xd8b\0" + b"c\0" * 300,
            "\ufeff".encode("utf-16-le") + b"c\0" * 300 + b"\0\xdc",
            b"a\xed\xa0\x80b" + "ä".encode() * 99,
        ],
    )
    def test_unpaired_surrogates_are_replaced(self, data: bytes):
        text = read(data).markdown
        text.encode()
        assert "\ufffd" in text

    def test_surrogates_of_an_external_parser_are_replaced_or_paired(self):
        assert normalise("a\ud800b\udc00") == "a\ufffdb\ufffd"
        assert normalise("\ud83d\ude00") == "\U0001f600"

    def test_control_characters_are_dropped(self):
        assert read(b"a\0b\x01c\x1b[1md" + b"e" * 500).markdown == "abc[1md" + "e" * 500

    def test_tabs_are_kept(self):
        assert read(b"a\tb\n\tc").markdown == "a\tb\n\tc"


class TestLines:
    @pytest.mark.parametrize(
        "end", ["\n", "\r\n", "\r", "\x0b", "\x0c", "\x85", "\u2028", "\u2029"]
    )
    def test_every_end_of_a_line_is_one(self, end: str):
        assert normalise(f"a {end}b") == "a\nb"

    def test_white_space_goes_at_the_ends_of_lines_and_of_the_text(self):
        assert normalise("\n\n  a \t\n\n\u00a0b\u3000\n\n") == "a\n\n\u00a0b"

    def test_markdown_is_left_as_it_is(self):
        text = "# Title\n\n* a\n    code\n\n| a | b |\n|---|---|\n\\* [x](y)"
        assert read(text.encode(), "a.md").markdown == text

    def test_there_are_no_pages(self):
        assert read(b"a\x0cb").pages == []


class TestRefused:
    def test_binary_data(self):
        for kind in (Kind.TEXT, Kind.MARKDOWN, Kind.HTML):
            with pytest.raises(UnsupportedFileError, match="binary data"):
                parse(bytes(range(256)) * 4, kind)

    def test_utf_16_that_is_noise(self):
        refused(b"\xff\xfe" + b"\0\xd8" * 500, UnsupportedFileError, "binary data")

    def test_a_text_of_white_space(self):
        with pytest.raises(NoTextError, match="no text"):
            parse(b" \n\t", Kind.TEXT)

    def test_more_characters_than_the_limit(self):
        assert read(b"x" * 100, characters=100).markdown
        assert read(b"x" * 100 + b" " * 50 + b"\n", characters=100).markdown
        refused(b"x" * 101, FileLimitError, "more than 100 characters", characters=100)


class TestTime:
    """F6: the time is in proportion to the length, whatever the text is."""

    @pytest.mark.parametrize(
        ("make", "name"),
        [
            (lambda size: b"x" * size, "one word"),
            (lambda size: b"a b " * (size // 4), "one line"),
            (lambda size: b" " * size + b"x", "blanks before"),
            (lambda size: (b" " * 999 + b"x") * (size // 1000), "blanks between"),
            (lambda size: b"\r\n" * (size // 2) + b"x", "line ends"),
            (lambda size: b"\r" * size + b"x", "half line ends"),
            (lambda size: b"<" * size, "elements that never begin"),
            (lambda size: b"<!--" * (size // 4), "comments that never end"),
            (lambda size: b"a" * (size - 1) + b"\xff", "another encoding at the end"),
            (lambda size: b"\xe4" * size, "another encoding"),
            (lambda size: b"[" * size, "links that never end"),
            (lambda size: b"**a " * (size // 4), "marks"),
        ],
    )
    @pytest.mark.parametrize("kind", [Kind.TEXT, Kind.HTML])
    def test_a_twentyfold_text_takes_no_more_than_its_share(
        self, make: Callable[[int], bytes], name: str, kind: Kind
    ):
        assert name
        small, large = (_seconds(make(size), kind) for size in (SIZE // 400, SIZE // 20))
        assert large < 60 * max(small, 0.002)  # 20 times, and noise; squares would be 400

    def test_the_largest_file_in_one_line_takes_a_second(self):
        assert _seconds(b"word " * (SIZE // 5), Kind.TEXT) < 3


def _seconds(data: bytes, kind: Kind) -> float:
    start = time.process_time()
    with contextlib.suppress(NoTextError):  # of a page that is one comment
        parse(data, kind, ROOM)
    return time.process_time() - start
