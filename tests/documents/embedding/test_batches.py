"""Cutting texts into micro-batches."""

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headrace.pipelines.documents.embedding import batches, estimated_tokens

TEXTS = st.lists(st.text(max_size=60), max_size=40)
LIMIT = st.integers(1, 30)


class TestEstimate:
    def test_it_is_the_larger_of_characters_by_four_and_bytes_by_three(self):
        assert estimated_tokens("a" * 400) == 134
        assert estimated_tokens("ä" * 300) == 200
        assert estimated_tokens("語" * 100) == 100
        assert estimated_tokens("") == 0

    def test_a_rest_counts_as_a_whole_token(self):
        assert estimated_tokens("a") == 1
        assert estimated_tokens("abcd") == 2


class TestBatches:
    @given(TEXTS, LIMIT, LIMIT)
    @example(["a" * 60, "a", "b", "", "", "c" * 60], 2, 10)
    def test_they_are_the_texts_in_order_and_none_is_empty(
        self, texts: list[str], most_texts: int, most_tokens: int
    ):
        parts = [texts[part] for part in batches_of(texts, most_texts, most_tokens)]
        assert [text for part in parts for text in part] == texts
        assert all(parts)

    @given(TEXTS, LIMIT, LIMIT)
    def test_none_is_over_a_limit_unless_one_text_alone_is(
        self, texts: list[str], most_texts: int, most_tokens: int
    ):
        for part in batches_of(texts, most_texts, most_tokens):
            cost = sum(map(estimated_tokens, texts[part]))
            assert len(texts[part]) <= most_texts
            assert cost <= most_tokens or len(texts[part]) == 1

    @given(TEXTS, LIMIT, LIMIT)
    def test_each_is_as_full_as_it_can_be(
        self, texts: list[str], most_texts: int, most_tokens: int
    ):
        parts = batches_of(texts, most_texts, most_tokens)
        for part, following in pairwise(parts):
            more = texts[part.start : following.start + 1]
            assert len(more) > most_texts or sum(map(estimated_tokens, more)) > most_tokens

    def test_256_texts_and_8000_tokens_unless_told(self):
        assert list(batches(["a"] * 257)) == [slice(0, 256), slice(256, 257)]
        assert list(batches(["a" * 3 * 4_000] * 3)) == [slice(0, 2), slice(2, 3)]

    def test_a_text_over_the_limit_is_alone(self):
        assert list(batches(["a", "b" * 100, "c"], most_tokens=20)) == [
            slice(0, 1),
            slice(1, 2),
            slice(2, 3),
        ]

    @pytest.mark.parametrize("limits", [{"most_texts": 0}, {"most_tokens": 0}])
    def test_a_limit_that_lets_nothing_through_is_refused(self, limits: dict[str, int]):
        with pytest.raises(ValueError, match="holds nothing"):
            list(batches(["a"], **limits))


def batches_of(texts: list[str], most_texts: int, most_tokens: int) -> list[slice]:
    return list(batches(texts, most_texts=most_texts, most_tokens=most_tokens))
