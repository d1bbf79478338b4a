"""`markdown@1`: what stays together."""

import itertools
import time
import unicodedata

import pytest

from headrace.pipelines.documents.chunking import Counter, split
from headrace.pipelines.documents.chunking.outline import Outline
from headrace.pipelines.documents.chunking.sizes import Sizes
from headrace.pipelines.documents.chunking.structure import in_windows
from tests.documents.chunking.counters import COUNTERS, estimate, minilm

SENTENCE = "A worker that was frozen can wake up at any moment. "
HAN = "".join(chr(0x4E00 + n * n % 20_011) for n in range(8_000))


def chunks(text: str, most_tokens: int = 256) -> list[str]:
    spans = split(text, chunker="markdown@1", most_tokens=most_tokens, count=minilm)
    return [text[span.start : span.end] for span in spans]


class TestSections:
    def test_small_ones_share_a_chunk(self):
        assert len(chunks("\n\n".join(f"## Part {n}\n\nShort." for n in range(10)))) == 1

    def test_a_large_one_begins_a_chunk(self):
        found = chunks(f"# One\n\n{SENTENCE * 15}\n\n# Two\n\n{SENTENCE * 15}")
        assert [chunk[:5] for chunk in found] == ["# One", "# Two"]


class TestHeadings:
    def test_one_stays_with_a_paragraph_that_fits_only_without_it(self):
        first, second = chunks(f"# A heading of a few words\n\n{SENTENCE * 21}")
        assert first.startswith("# A heading of a few words\n\nA worker that")
        assert first.endswith("moment.")
        assert second.count("worker") >= 5

    def test_one_at_the_end_of_a_chunk_moves_to_the_next(self):
        found = chunks(f"{SENTENCE * 21}\n\n{SENTENCE * 12}\n\n### Detail\n\n{SENTENCE * 15}")
        assert any(chunk.startswith("### Detail\n\nA worker") for chunk in found)

    def test_several_in_a_row_stay_together(self):
        first, *_ = chunks(f"# One\n\n## Two\n\n### Three\n\n{SENTENCE * 21}")
        assert first.startswith("# One\n\n## Two\n\n### Three\n\nA worker")

    def test_one_with_nothing_behind_it_is_a_chunk(self):
        assert chunks("# Alone") == ["# Alone"]

    def test_one_that_is_nearly_a_chunk_leaves_the_text_whole(self):
        long = f"### {SENTENCE * 17}".strip()
        paragraph = (SENTENCE * 21).strip()
        assert chunks(f"{long}\n\n{paragraph}") == [long, paragraph]

    def test_a_long_one_at_the_end_of_a_chunk_stays_where_it_is(self):
        parts = [SENTENCE * 4, f"## {SENTENCE * 17}", f"# {SENTENCE * 4}"]
        one, two, three = (part.strip() for part in parts)
        assert chunks(f"{one}\n\n{two}\n\n{three}") == [f"{one}\n\n{two}", three]

    def test_one_with_a_paragraph_of_its_own_takes_no_part_of_the_next(self):
        paragraph = (SENTENCE * 18).strip()
        assert chunks(f"# One\n\n{SENTENCE * 5}\n\n{paragraph}")[1:] == [paragraph]

    def test_the_first_line_of_code_stays_with_it_too(self):
        text = "# Code\n\n```python shop.py\n" + "first = second\n" * 83 + "```\n"
        first, second = chunks(text)
        assert first.startswith("# Code\n\n```python shop.py\nfirst = second\n")
        assert second.endswith("```")


class TestSmallPieces:
    NESTED = "".join(f"  - A line about the number {n} of many\n" for n in range(40))

    def test_the_line_before_a_long_nested_list_is_no_chunk(self):
        found = chunks("".join(f"- Part {n}\n{self.NESTED}" for n in range(3)))
        assert len(found) > 5
        assert min(map(minilm, found)) > 32

    def test_one_before_a_section_is_added_to_it(self):
        first, _ = chunks(f"| a | b |\n\n## Two\n\n{SENTENCE * 21}")
        assert first.startswith("| a | b |\n\n## Two\n\nA worker")

    def test_one_after_the_rest_of_a_paragraph_is_added_to_it(self):
        _, last = chunks(f"Short and sweet.\n\n{SENTENCE * 21}\n\n| a | b |")
        assert last.startswith("A worker")
        assert last.endswith("moment. \n\n| a | b |")

    def test_one_between_full_chunks_takes_nothing_from_another_section(self):
        texts = ["# One", SENTENCE * 12, SENTENCE * 9, "Short and sweet.", "# Two", SENTENCE * 21]
        assert "Short and sweet." in chunks("\n\n".join(texts))

    def test_one_of_more_than_32_tokens_is_none(self):
        first, *_ = chunks(f"- {SENTENCE * 3}\n{self.NESTED}")
        assert first == f"- {SENTENCE * 3}".strip()


class TestTables:
    ROW = "| the name of a cell | and what it holds, in ten words or so |\n"

    def test_rows_are_whole(self):
        text = "# Table\n\n| name | holds |\n|---|---|\n" + self.ROW * 100
        found = chunks(text)
        assert len(found) > 5
        assert all(chunk.startswith(("#", "| ")) and chunk.endswith("|") for chunk in found)

    def test_a_row_that_fits_only_without_its_heading_is_whole(self):
        row = f"| {SENTENCE * 21}|"
        assert row in chunks(f"# A heading that needs more than the few tokens left\n\n{row}")

    def test_a_row_that_fits_beside_its_heading_stays_with_it(self):
        row = f"| {SENTENCE * 17}|"
        heading = (
            "# A heading that is about twenty words long, so that not all of the rows fit beside it"
        )
        first, second = chunks(f"{heading}\n\n{row}\n| {SENTENCE * 3}|")
        assert first == f"{heading}\n\n{row}"
        assert second.startswith("| A worker")

    def test_a_row_that_is_too_long_is_cut(self):
        assert len(chunks(f"| {SENTENCE * 50}|")) > 2


class TestWindows:
    def test_do_not_show(self):
        parts = (f"{'#' * (1 + n % 4)} Part {n}\n\n{SENTENCE * (n % 29)}\n\n" for n in range(60))
        text = "".join(parts)
        outline, sizes = Outline(text), Sizes(text, minilm, 256)
        assert len(text) > 4 * 8_192
        assert list(in_windows(outline, sizes, 0, len(text))) == sizes.pieces(0, len(text))

    def test_text_after_long_code_is_not_taken_for_code(self):
        text = (
            "```text\n" + "value = 1\n" * 2_000 + "```\n\n" + f"# Next\n\n{SENTENCE * 15}\n\n" * 9
        )
        found = chunks(text)
        assert [chunk[:6] for chunk in found[-9:]] == ["# Next"] * 9

    @pytest.mark.parametrize(
        "unit", ["and so on ", "w", "ab\n", "# word\n", "```\n", "| a | b |\n"]
    )
    def test_time_grows_with_the_length_and_not_faster(self, unit: str):
        def seconds(length: int) -> float:
            text = (unit * length)[:length]
            began = time.thread_time()
            split(text, chunker="markdown@1", most_tokens=256, count=estimate)
            return time.thread_time() - began

        def fastest(length: int) -> float:
            return min(seconds(length), seconds(length))

        seconds(1_000)
        assert fastest(640_000) < 30 * fastest(40_000)


class TestFilling:
    @pytest.mark.parametrize("count", COUNTERS)
    @pytest.mark.parametrize("unit", ["- A worker's row can wake up at any moment.\n", "# Wake\n"])
    def test_the_next_line_would_not_fit_into_a_chunk(self, count: Counter, unit: str):
        text = unit * 400
        spans = split(text, chunker="markdown@1", most_tokens=256, count=count)
        assert len(spans) > 3
        for one, other in itertools.pairwise(spans):
            assert count(text[one.start : text.find("\n", other.start)]) > 256


class TestCounting:
    @pytest.mark.parametrize("text", [SENTENCE * 500, HAN, "=-" * 4_000])
    def test_costs_little_where_words_can_be_summed_up(self, text: str):
        counted = 0

        def count(part: str, /) -> int:
            nonlocal counted
            counted += len(part)
            return minilm(part)

        split(text, chunker="markdown@1", most_tokens=256, count=count)
        assert counted < 6 * len(text)


class TestPartsOfThree:
    @pytest.mark.parametrize(
        "text", ["a b c d e", "a\n    b c\n    d e", "abcde", "a\u0301bce\u0301e"]
    )
    def test_fit_where_the_splitter_leaves_too_much(self, text: str):
        def count(part: str, /) -> int:
            return 2 * sum(not unicodedata.combining(one) for one in part if not one.isspace())

        spans = split(text, chunker="markdown@1", most_tokens=3, count=count)
        normal = [unicodedata.normalize("NFC", text[span.start : span.end]) for span in spans]
        assert [len(one) for one in normal] == [1] * 5
