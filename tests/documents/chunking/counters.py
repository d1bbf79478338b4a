"""Ways to count tokens: real tokenizers and the estimate for models behind an interface."""

from functools import cache
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from headrace.pipelines import documents
from headrace.pipelines.documents.chunking import Counter

MINILM = Path(documents.__file__).parent / "embedding" / "minilm" / "tokenizer.json"
CORPUS = """\
# Pipelines

A pipeline runs its steps one after the other, and a worker holds copies of rows and nothing else.
| a | b |
"""


@cache
def _minilm() -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(MINILM))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


@cache
def _byte_pairs() -> Tokenizer:
    """White space, line feeds and parts of a character are tokens of their own."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([CORPUS], trainer)
    return tokenizer


def minilm(text: str, /) -> int:
    return len(_minilm().encode(text))


def byte_pairs(text: str, /) -> int:
    return len(_byte_pairs().encode(text))


def estimate(text: str, /) -> int:
    return max(-(-len(text) // 4), -(-len(text.encode()) // 3))


COUNTERS: tuple[Counter, ...] = (minilm, byte_pairs, estimate)
