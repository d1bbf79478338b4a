"""The local model, computed for real."""

import asyncio
import math
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.pipelines.documents.embedding import EmbedderError, TextTooLongError, Vector, checked
from headrace.pipelines.documents.embedding.minilm import MiniLM, load_tokenizer, open_minilm
from headrace.pipelines.documents.embedding.minilm import files as model_files
from headrace.pipelines.documents.embedding.minilm.embedder import computations
from tests.waiting import eventually

TEXT = "the lease of a worker ends when its heartbeat is late and another one takes over"


@pytest.fixture(scope="module")
def minilm() -> Iterator[MiniLM]:
    """Loaded once: it belongs to no event loop."""
    embedder = asyncio.run(open_minilm(threads=2))
    yield embedder
    asyncio.run(embedder.aclose())


class SlowNetwork:
    """Computes nothing, and that only when it may."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.started = 0

    def run(self, ids: list[list[int]]) -> list[Vector]:
        self.started += 1
        assert self.go_on.wait(10)
        return [Vector("f", [1.0]) for _ in ids]


def text_of(tokens: int, seed: int) -> str:
    """A text of about so many tokens, another one for each seed."""
    words = TEXT.split()
    return " ".join(words[(place * seed + place) % len(words)] for place in range(tokens))


def likeness(one: Vector, other: Vector) -> float:
    return sum(x * y for x, y in zip(one, other, strict=True))


class TestVectors:
    async def test_what_means_the_same_is_near_without_common_words(self, minilm: MiniLM):
        query, near, far = (
            await minilm.embed(
                [
                    "How do I get my money back?",
                    "Refunds are paid within two weeks.",
                    "The cat sleeps on the warm roof.",
                ]
            )
        ).vectors
        assert likeness(query, near) > 0.4
        assert likeness(query, far) < 0.15

    async def test_they_are_those_of_the_model_they_are_named_after(self, minilm: MiniLM):
        """The first numbers that sentence-transformers gives for its own example."""
        [vector] = (await minilm.embed(["This is an example sentence"])).vectors
        assert vector[:3] == pytest.approx([0.0677, 0.0635, 0.0487], abs=0.003)

    async def test_they_have_the_declared_dimension_and_length_one(self, minilm: MiniLM):
        texts = ["a", "two words", ""]
        embedded = checked(minilm.space, texts, await minilm.embed(texts))
        assert {len(vector) for vector in embedded.vectors} == {384}
        for vector in embedded.vectors:
            assert math.hypot(*vector) == pytest.approx(1, abs=1e-6)
            assert vector.typecode == "f"

    async def test_the_same_text_has_the_same_bytes_whatever_stands_beside_it(self, minilm: MiniLM):
        texts = [text_of(n, n) for n in (3, 200, 7, 7, 31, 64, 120, 33, 5, 90)]
        alone = [(await minilm.embed([text])).vectors[0] for text in texts]
        assert (await minilm.embed(texts)).vectors == alone

    async def test_they_come_in_the_order_of_the_texts(self, minilm: MiniLM):
        texts = [text_of(n, n) for n in (40, 3, 80, 12)]
        forward = (await minilm.embed(texts)).vectors
        assert (await minilm.embed(texts[::-1])).vectors == forward[::-1]

    async def test_no_text_gives_no_vector(self, minilm: MiniLM):
        embedded = await minilm.embed([])
        assert (embedded.vectors, embedded.tokens) == ([], 0)


class TestTokens:
    async def test_special_tokens_count(self, minilm: MiniLM):
        assert minilm.count_tokens("hello world") == 4
        assert (await minilm.embed(["hello world", "hello"])).tokens == 7

    async def test_256_fit_and_one_more_is_refused_not_cut(self, minilm: MiniLM):
        await minilm.embed(["word " * 254])
        with pytest.raises(TextTooLongError, match=r"text 2 of 2 has 257 tokens.*at most 256"):
            await minilm.embed(["a", "word " * 255])

    def test_the_counter_without_the_model_counts_the_same(self, minilm: MiniLM):
        count = load_tokenizer()
        for text in ("", "hello", "naïve Übung 語", text_of(300, 1)):
            assert count(text) == minilm.count_tokens(text)


class TestThreads:
    async def test_the_loop_stays_free(self, minilm: MiniLM):
        ticks = 0
        work = asyncio.create_task(minilm.embed([text_of(120, n) for n in range(8)]))
        while not work.done():
            ticks += 1
            await asyncio.sleep(0)
        assert ticks > 50

    async def test_calls_at_the_same_time_never_use_more_of_them(self, minilm: MiniLM):
        texts = [text_of(30, n) for n in range(20)]
        expected = (await minilm.embed(texts)).vectors
        calls = await asyncio.gather(*(minilm.embed(texts) for _ in range(4)))
        assert all(call.vectors == expected for call in calls)
        assert sum(t.name.startswith("headrace-minilm") for t in threading.enumerate()) == 2

    async def test_a_cancelled_call_starts_no_further_computation(self):
        network = SlowNetwork()
        embedder = MiniLM(network, load_tokenizer(), threads=2)  # type: ignore[arg-type]
        work = asyncio.create_task(embedder.embed([text_of(200, n) for n in range(10)]))
        await eventually(lambda: network.started == 2)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        network.go_on.set()
        assert len((await embedder.embed(["a"])).vectors) == 1
        await embedder.aclose()
        assert network.started == 3

    async def test_closing_ends_them(self):
        before = threading.active_count()
        embedder = await open_minilm(threads=3)
        await embedder.embed(["a", "b", "c"])
        await embedder.aclose()
        here = [t for t in threading.enumerate() if t.name.startswith("headrace-minilm")]
        assert len(here) <= 2  # those of the fixture
        assert threading.active_count() <= before + 1  # to_thread keeps one of its own


class TestComputations:
    @given(st.lists(st.integers(2, 256), max_size=60))
    def test_every_text_is_in_one_and_none_is_too_large(self, lengths: list[int]):
        runs = computations([[0] * length for length in lengths], 384)
        assert sorted(at for run in runs for at in run) == list(range(len(lengths)))
        for run in runs:
            assert len(run) * max(lengths[at] for at in run) <= 384

    @given(st.lists(st.integers(2, 256), max_size=60))
    def test_the_longest_come_first(self, lengths: list[int]):
        runs = computations([[0] * length for length in lengths], 384)
        order = [lengths[at] for run in runs for at in run]
        assert order == sorted(lengths, reverse=True)

    def test_texts_share_one_as_long_as_they_fit(self):
        lengths = [100, 50, 100, 50, 100, 50, 100]
        assert computations([[0] * length for length in lengths], 350) == [
            [0, 2, 4],
            [6, 1, 3],
            [5],
        ]

    def test_a_shorter_first_text_lets_more_share(self):
        lengths = [90, 90, *[30] * 6]
        assert computations([[0] * length for length in lengths], 180) == [
            [0, 1],
            [2, 3, 4, 5, 6, 7],
        ]

    def test_a_text_that_alone_is_too_large_is_computed_alone(self):
        assert computations([[0] * 5, [0] * 9, [0] * 5], 8) == [[1], [0], [2]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with both files of the model; writing into it changes nothing else."""
    own = Path(model_files.__file__).parent
    shutil.copyfile(own / "tokenizer.json", tmp_path / "tokenizer.json")
    (tmp_path / "model.onnx").write_bytes(model_files.read_model(None))
    return tmp_path


class TestFiles:
    async def test_they_are_taken_from_a_folder_that_is_named(self, folder: Path):
        embedder = await open_minilm(folder, threads=1)
        await embedder.aclose()
        assert embedder.count_tokens("hello") == 3

    @pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
    async def test_a_missing_one_is_named(self, folder: Path, name: str):
        (folder / name).unlink()
        with pytest.raises(EmbedderError, match=rf"{name} cannot be read: No such file"):
            await open_minilm(folder)

    @pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
    async def test_one_that_is_not_the_model_s_is_refused(self, folder: Path, name: str):
        with (folder / name).open("ab") as file:
            file.write(b"\n")
        with pytest.raises(EmbedderError, match=rf"{name} is not the file of minilm@1.*SHA-256"):
            await open_minilm(folder)

    def test_the_notice_lies_beside_the_tokenizer(self):
        notice = (Path(model_files.__file__).parent / "NOTICE").read_text(encoding="utf-8")
        assert "Apache License" in notice
        for value in model_files.HASHES.values():
            assert value in notice
