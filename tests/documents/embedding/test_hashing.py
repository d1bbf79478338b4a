"""The embedder that knows words only."""

import asyncio
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.pipelines.documents.embedding import TextTooLongError, Vector, checked
from headrace.pipelines.documents.embedding.hashing import HashingEmbedder

EMBEDDER = HashingEmbedder()


async def embed(*texts: str) -> list[Vector]:
    return checked(EMBEDDER.space, texts, await EMBEDDER.embed(texts)).vectors


def likeness(one: Vector, other: Vector) -> float:
    return sum(x * y for x, y in zip(one, other, strict=True))


class TestHashing:
    async def test_texts_that_share_words_are_nearer(self):
        question, answer, other = await embed(
            "When does a lease end?", "A LEASE can end early.", "Bananas are yellow."
        )
        assert likeness(question, answer) > 0.4
        assert abs(likeness(question, other)) < 0.2

    async def test_words_count_up_or_down_so_that_chance_likeness_has_no_sign(self):
        [vector] = await embed(" ".join(f"word{number}" for number in range(40)))
        assert min(vector) < 0 < max(vector)

    async def test_a_word_more_often_counts_more(self):
        once, often, query = await embed("cat dog", "cat cat cat dog", "cat")
        assert likeness(often, query) > likeness(once, query)

    @given(st.text(max_size=50))
    async def test_every_text_has_a_direction(self, text: str):
        [vector] = await embed(text)
        assert likeness(vector, vector) == pytest.approx(1, abs=1e-6)

    def test_another_process_gives_the_same_vector(self):
        [vector] = asyncio.run(embed("leases and locks"))
        program = (
            "import asyncio; from headrace.pipelines.documents.embedding.hashing import *;"
            "e = asyncio.run(HashingEmbedder().embed(['leases and locks']));"
            "print(e.vectors[0].tobytes().hex())"
        )
        found = subprocess.run(
            [sys.executable, "-c", program], check=True, capture_output=True, text=True
        )
        assert found.stdout.strip() == vector.tobytes().hex()

    async def test_tokens_are_those_of_the_estimate(self):
        assert (await EMBEDDER.embed(["a" * 30, "b" * 60])).tokens == 30
        assert EMBEDDER.count_tokens("a" * 30) == 10

    async def test_a_longer_text_is_refused_and_named(self):
        await embed("a" * 3 * 256)
        with pytest.raises(TextTooLongError, match=r"text 2 of 2 has 257 tokens.*at most 256"):
            await embed("a", "a" * 3 * 257)
