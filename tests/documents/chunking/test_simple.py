"""`markdown-simple@1`: a chunk before each heading line, and after a number of lines."""

import pytest

from headrace.pipelines.documents.chunking import Span, split
from tests.documents.chunking.counters import minilm


def spans(text: str, lines: int = 20, most_tokens: int = 256) -> list[Span]:
    return split(
        text, chunker="markdown-simple@1", most_tokens=most_tokens, count=minilm, lines=lines
    )


def lines_of(found: list[Span]) -> list[tuple[int, int]]:
    return [(span.start_line, span.end_line) for span in found]


class TestHeadings:
    def test_each_begins_a_chunk(self):
        assert lines_of(spans("text\n# One\n\ntext\n## Two\n  ### Three\ntext")) == [
            (1, 1),
            (2, 4),
            (5, 5),
            (6, 7),
        ]

    @pytest.mark.parametrize(
        "line", ["#no space", "####### seven", "    # indented", "a # b", "\\# x"]
    )
    def test_what_only_looks_like_one_begins_none(self, line: str):
        assert len(spans(f"text\n\n{line}\ntext")) == 1

    @pytest.mark.parametrize(
        ("opening", "closing"),
        [
            ("```", "```"),
            ("`````\n```", "`````"),
            ("~~~ python", "~~~~"),
            ("````", "````"),
            ("  ```text", "```"),
        ],
    )
    def test_fenced_code_holds_none(self, opening: str, closing: str):
        text = f"{opening}\n# code\n```x\n# code\n{closing}\n# Heading"
        last = 1 + text.count("\n")
        assert lines_of(spans(text)) == [(1, last - 1), (last, last)]

    def test_a_line_with_more_ticks_opens_no_code(self):
        assert lines_of(spans("```a`b\n# Heading")) == [(1, 1), (2, 2)]

    def test_code_that_never_ends_holds_none(self):
        assert lines_of(spans("# One\n```\n# code\n~~~\n# code")) == [(1, 5)]


class TestLines:
    def test_a_chunk_has_at_most_so_many(self):
        text = "\n".join(f"line {n}" for n in range(45))
        assert lines_of(spans(text)) == [(1, 20), (21, 40), (41, 45)]
        assert len(spans(text, lines=1)) == 45
        assert len(spans(text, lines=200)) == 1

    def test_they_are_counted_from_each_heading(self):
        text = "a\nb\n# One\nc\nd\ne"
        assert lines_of(spans(text, lines=3)) == [(1, 2), (3, 5), (6, 6)]

    @pytest.mark.parametrize("lines", [0, 201])
    def test_other_numbers_are_refused(self, lines: int):
        with pytest.raises(ValueError, match=f"lines is {lines}; it can be 1 to 200"):
            spans("text", lines=lines)

    def test_too_much_text_is_split(self):
        text = "\n".join(["A worker that was frozen can wake up at any moment."] * 40)
        found = spans(text, most_tokens=64)
        assert len(found) == 8
        assert all(minilm(text[span.start : span.end]) <= 64 for span in found)
        assert 21 in {span.start_line for span in found}


class TestChunkers:
    def test_an_unknown_one_is_refused_with_those_there_are(self):
        with pytest.raises(ValueError, match="no chunker 'markdown'; there are markdown@1, markd"):
            split("text", chunker="markdown", most_tokens=256, count=minilm)
