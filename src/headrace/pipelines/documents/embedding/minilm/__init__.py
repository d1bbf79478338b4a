"""all-MiniLM-L6-v2 on this machine: no key, no network."""

from headrace.pipelines.documents.embedding.minilm.embedder import MiniLM, open_minilm
from headrace.pipelines.documents.embedding.minilm.files import MINILM
from headrace.pipelines.documents.embedding.minilm.tokens import WordPieces, load_tokenizer

__all__ = ["MINILM", "MiniLM", "WordPieces", "load_tokenizer", "open_minilm"]
