"""What a chunk consists of."""

import subprocess
import sys

import pytest

from headrace.pipelines.documents.chunking import split
from tests.documents.chunking.counters import minilm


def types(text: str, most_tokens: int = 256) -> list[str]:
    spans = split(text, chunker="markdown@1", most_tokens=most_tokens, count=minilm)
    return [span.type for span in spans]


class TestOneKind:
    @pytest.mark.parametrize(
        ("kind", "text"),
        [
            ("heading", "# One\n\n## Two"),
            ("paragraph", "text\nof lines\n\nand more"),
            ("paragraph", "> quoted"),
            ("paragraph", "    indented = True"),
            ("paragraph", "<p>text</p>"),
            ("paragraph", "in the year\n1998. It was"),
            ("paragraph", "***"),
            ("list", "- one\n- two"),
            ("list", "1. one\n   goes on\nlazily\n2) two\n\n   a second paragraph\n\n   a third"),
            ("list", "+ one\n  * below\n\n    text"),
            ("table", "| a | b |\n|---|---|\n| c | d |"),
            ("code", "```python\n# no heading\n- no list\n| no table\n```"),
            ("code", "~~~\nnever closed"),
        ],
    )
    def test_is_named(self, kind: str, text: str):
        assert types(text) == [kind]

    @pytest.mark.parametrize("text", ["text", "- item", "| a |", "```\nx\n```"])
    def test_is_named_below_a_heading(self, text: str):
        assert types(f"# Heading\n\n{text}") == types(text)

    def test_rules_between_blocks_do_not_count(self):
        assert types("- a\n\n---\n\n- b\n\n* * *\n\n_____") == ["list"]


class TestSeveralKinds:
    @pytest.mark.parametrize(
        "text",
        [
            "text\n- item",
            "text\n\n1. item",
            "- item\n\ntext",
            "text\n| a |",
            "- item\n\n```\nx\n```",
            "```\nx\n```\ntext",
            "```\nx\n```\n\n| a |",
            "- item\n# Heading\ntext",
        ],
    )
    def test_are_mixed(self, text: str):
        assert types(text) == ["mixed"]


class TestParts:
    def test_of_a_long_block_have_its_kind(self):
        sentence = "A worker that was frozen can wake up at any moment. "
        assert set(types(f"- {sentence * 50}", 64)) == {"list"}
        assert set(types(f"| {sentence * 50} |", 64)) == {"table"}
        assert set(types("```\n" + "x = 1\n" * 500 + "```", 64)) == {"code"}


class TestExtra:
    def test_a_missing_one_is_named(self):
        code = (
            "import sys; sys.modules['semantic_text_splitter'] = None\n"
            "from headrace.pipelines.documents.chunking import split\n"
            "split('text', chunker='markdown@1', most_tokens=9, count=len)"
        )
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        last = done.stderr.splitlines()[-1]
        assert last.startswith("ImportError: ")
        assert last.endswith("pip install 'headrace[documents]'")
