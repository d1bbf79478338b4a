r"""Cuts Markdown into chunks that fit an embedder, with exact positions.

>>> split("# One\n\nText.", chunker="markdown@1", most_tokens=256, count=len)
[Span(start=0, end=12, start_line=1, end_line=3, type='paragraph')]
"""

from headrace.pipelines.documents.chunking.chunkers import CHUNKERS, Span, split
from headrace.pipelines.documents.chunking.outline import BlockType
from headrace.pipelines.documents.chunking.sizes import Counter

__all__ = ["CHUNKERS", "BlockType", "Counter", "Span", "split"]
