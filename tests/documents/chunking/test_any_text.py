"""What holds for the chunks of any text, by any counter."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.pipelines.documents.chunking import CHUNKERS, Counter, Span, split
from tests.documents.chunking.counters import COUNTERS, estimate, minilm

WORDS = st.sampled_from(
    [
        "row",
        "worker",
        "a",
        "Überlänge",
        "漢字仮名交じり",
        "שלום",
        "مرحبا",
        "e\u0301",
        "👨‍👩‍👧",
        "🇩🇪",
        "x" * 150,
        "--",
    ]
)
SENTENCES = st.lists(WORDS, min_size=1, max_size=40).map(lambda words: " ".join(words) + ".")
BLOCKS = st.one_of(
    SENTENCES,
    SENTENCES.map(lambda text: f"## {text}"),
    SENTENCES.map(lambda text: f"- {text}\n  {text}\n- {text}"),
    SENTENCES.map(lambda text: f"| a | b |\n|---|---|\n| {text} | {text} |"),
    SENTENCES.map(lambda text: f"```text\n# {text}\n```"),
    SENTENCES.map(lambda text: f"~~~\n{text}"),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
    st.text(" \t\n\r\x0b\x1c\x85\u2028#`|-a\u0301", max_size=30),
)
TEXTS = st.lists(st.tuples(BLOCKS, st.sampled_from(["\n", "\n\n", " "])), max_size=25).map(
    lambda blocks: "".join(block + gap for block, gap in blocks)
)
EXAMPLES = settings(max_examples=60, deadline=None)


def assert_exact(text: str, spans: list[Span]) -> None:
    place = 0
    for span in spans:
        chunk = text[span.start : span.end]
        assert chunk
        assert chunk == chunk.strip()
        assert not text[place : span.start].strip()
        assert span.start_line == 1 + text.count("\n", 0, span.start)
        assert span.end_line == 1 + text.count("\n", 0, span.end)
        place = span.end
        assert place > span.start
    assert not text[place:].strip()


@pytest.mark.parametrize("count", COUNTERS)
@pytest.mark.parametrize("chunker", CHUNKERS)
class TestSpans:
    @given(text=TEXTS, most_tokens=st.integers(16, 120))
    @EXAMPLES
    def test_are_exact_and_leave_out_only_white_space(
        self, count: Counter, chunker: str, text: str, most_tokens: int
    ):
        assert_exact(text, split(text, chunker=chunker, most_tokens=most_tokens, count=count))

    @given(text=TEXTS, most_tokens=st.integers(16, 120))
    @EXAMPLES
    def test_are_never_over_the_limit(
        self, count: Counter, chunker: str, text: str, most_tokens: int
    ):
        spans = split(text, chunker=chunker, most_tokens=most_tokens, count=count)
        assert all(count(text[span.start : span.end]) <= most_tokens for span in spans)
        assert all(span.end - span.start <= 8 * most_tokens for span in spans)

    @given(text=TEXTS)
    @settings(EXAMPLES, max_examples=20)
    def test_are_the_same_every_time(self, count: Counter, chunker: str, text: str):
        def again() -> list[Span]:
            return split(text, chunker=chunker, most_tokens=50, count=count)

        assert again() == again()


@pytest.mark.parametrize("count", COUNTERS)
@pytest.mark.parametrize("chunker", CHUNKERS)
class TestLongWords:
    @pytest.mark.parametrize(
        "text",
        [
            "w" * 100_000,
            "漢" * 20_000,
            "\u0301" * 20_000,
            "👨‍👩‍👧" * 4_000,
            "א" * 20_000,
            "-" * 20_000,
        ],
        ids=["latin", "cjk", "combining", "emoji", "hebrew", "dashes"],
    )
    def test_are_cut(self, count: Counter, chunker: str, text: str):
        spans = split(text, chunker=chunker, most_tokens=256, count=count)
        assert_exact(text, spans)
        assert all(count(text[span.start : span.end]) <= 256 for span in spans)
        assert len(spans) > 4


class TestGraphemes:
    @pytest.mark.parametrize(
        "cluster", ["👨‍👩‍👧", "e\u0301", "🇩🇪", "👍🏽", "क्षि", "\U0001100f\u0323\u0301"]
    )
    def test_are_not_cut(self, cluster: str):
        text = cluster * 5_000
        spans = split(text, chunker="markdown@1", most_tokens=101, count=len)
        assert_exact(text, spans)
        assert {span.start % len(cluster) for span in spans} == {0}

    def test_one_over_the_limit_is_cut_all_the_same(self):
        text = "a" + "\u0301" * 500
        spans = split(text, chunker="markdown@1", most_tokens=100, count=len)
        assert_exact(text, spans)
        assert len(spans) == 6


class TestTooSmall:
    def test_a_limit_below_a_character_is_an_error_that_says_so(self):
        with pytest.raises(ValueError, match=r"most_tokens is 1; '漢' alone takes 2"):
            split("漢字", chunker="markdown@1", most_tokens=1, count=lambda text: 2 * len(text))

    def test_a_limit_below_the_special_tokens_is_too(self):
        with pytest.raises(ValueError, match="most_tokens is 2; special tokens alone take 2"):
            split("word", chunker="markdown@1", most_tokens=2, count=minilm)

    @pytest.mark.parametrize("chunker", CHUNKERS)
    def test_a_text_of_nothing_has_no_chunks(self, chunker: str):
        assert split(" \n\t\n", chunker=chunker, most_tokens=100, count=estimate) == []
