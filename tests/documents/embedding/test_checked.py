"""What came back from an embedder."""

from array import array

import pytest

from headrace import PermanentError
from headrace.pipelines.documents.embedding import Embedded, EmbeddingFailedError, Space, checked

SPACE = Space("letters", "3", dimension=2, most_tokens=100)


def embedded(*vectors: list[float]) -> Embedded:
    return Embedded([array("f", vector) for vector in vectors], tokens=1)


class TestChecked:
    def test_good_vectors_pass_as_they_are(self):
        good = embedded([1, 0], [0, -1e30])
        assert checked(SPACE, ["a", "b"], good) is good

    def test_no_text_no_vector(self):
        assert checked(SPACE, [], embedded()).vectors == []

    @pytest.mark.parametrize("texts", [["a"], ["a", "b", "c"]])
    def test_another_count_is_refused(self, texts: list[str]):
        with pytest.raises(EmbeddingFailedError, match=rf"2 vectors for {len(texts)} texts"):
            checked(SPACE, texts, embedded([1, 0], [0, 1]))

    @pytest.mark.parametrize("vector", [[], [1], [1, 2, 3]])
    def test_another_dimension_is_refused_for_good(self, vector: list[float]):
        with pytest.raises(PermanentError, match=r"letters@3 .* numbers, but is declared with 2"):
            checked(SPACE, ["a", "b"], embedded([1, 0], vector))

    @pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
    def test_a_number_that_is_not_finite_is_refused(self, number: float):
        with pytest.raises(EmbeddingFailedError, match=r"vector 2 of 2 holds .* not finite"):
            checked(SPACE, ["a", "b"], embedded([1, 0], [1, number]))

    def test_a_vector_without_direction_is_refused(self):
        with pytest.raises(EmbeddingFailedError, match=r"vector 1 of 1 holds only zeros"):
            checked(SPACE, ["a"], embedded([0, 0]))
