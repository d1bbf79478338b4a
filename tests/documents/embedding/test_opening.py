"""From a name to an embedder."""

import subprocess
import sys
from array import array
from pathlib import Path

import pytest
from pydantic import SecretStr

from headrace.pipelines.documents.embedding import (
    Embedded,
    EmbedderError,
    EmbedderOptions,
    EmbeddingFailedError,
    Space,
    estimated_tokens,
    open_embedder,
    space_of,
    token_counter,
)
from headrace.pipelines.documents.embedding.errors import installed_with
from tests.documents.embedding.own import Letters

OWN = "tests.documents.embedding.own"


class TestChoices:
    @pytest.mark.parametrize(
        ("choice", "space"),
        [
            ("minilm", Space("minilm", "1", 384, 256)),
            ("openai", Space("text-embedding-3-small", "1", 1_536, 8_191)),
            ("hashing", Space("hashing", "1", 256, 256)),
        ],
    )
    async def test_each_has_its_space(self, choice: str, space: Space):
        embedder = await open_embedder(choice, EmbedderOptions(threads=1, api_key="sk"))
        await embedder.aclose()
        assert embedder.space == space
        assert space_of(choice) == space

    @pytest.mark.parametrize("name", ["plain", "later", "Letters"])
    async def test_one_of_your_own(self, name: str):
        embedder = await open_embedder(f"{OWN}:{name}")
        embedded = await embedder.embed(["abba", "b"])
        assert (str(embedder.space), embedder.count_tokens("abba")) == ("letters@3", 4)
        assert embedded == Embedded([array("f", [2, 2]), array("f", [0, 1])], tokens=5)

    async def test_what_one_of_your_own_gives_is_checked(self):
        embedder = await open_embedder(f"{OWN}:plain")
        with pytest.raises(EmbeddingFailedError, match="only zeros"):
            await embedder.embed(["c"])

    async def test_one_of_your_own_is_closed(self):
        embedder = await open_embedder(f"{OWN}:later")
        await embedder.aclose()
        assert Letters.closed

    @pytest.mark.parametrize("choice", ["minlm", "", "a:", ":a", "a b:c", "MINILM"])
    async def test_another_is_refused_with_the_choices(self, choice: str):
        with pytest.raises(EmbedderError, match=r"minilm, openai, hashing, or .* module:attribute"):
            await open_embedder(choice)

    @pytest.mark.parametrize(
        ("choice", "problem"),
        [
            ("no_such_module:a", "no module 'no_such_module'"),
            (f"{OWN}.inner:a", f"no module '{OWN}.inner'"),
            (f"{OWN}:missing", "no function 'missing'"),
            (f"{OWN}:number", "no function 'number'"),
            (f"{OWN}:wrong", "gave a str, not an Embedder"),
        ],
    )
    async def test_what_is_no_factory_is_named(self, choice: str, problem: str):
        with pytest.raises(EmbedderError, match=problem):
            await open_embedder(choice)

    async def test_what_your_own_module_misses_is_not_blamed_on_the_name(self):
        with pytest.raises(ModuleNotFoundError, match="no_such_module"):
            await open_embedder(f"{OWN}_broken:plain")

    def test_one_of_your_own_is_found_in_the_current_folder(self, tmp_path: Path):
        (tmp_path / "mine.py").write_text("def plain(): return 7")
        program = (
            "import asyncio; from headrace.pipelines.documents.embedding import *\n"
            "try: asyncio.run(open_embedder('mine:plain'))\n"
            "except EmbedderError as error: print(error)"
        )
        found = subprocess.run(
            [sys.executable, "-P", "-c", program],  # -P: the folder is not searched by itself
            check=True,
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        assert found.stdout.strip() == "mine:plain gave a int, not an Embedder: it has no `space`"


class TestWithoutOpening:
    def test_the_space_of_openai_is_as_it_is_told(self):
        options = EmbedderOptions(model="m", version="2", dimension=3, most_tokens=4)
        assert space_of("openai", options) == Space("m", "2", 3, 4)

    def test_the_space_of_your_own_is_not_known(self):
        assert space_of(f"{OWN}:plain") is None

    def test_a_wrong_name_is_refused_all_the_same(self):
        with pytest.raises(EmbedderError):
            space_of("minlm")

    def test_minilm_counts_by_its_tokenizer(self):
        count = token_counter("minilm")
        assert count("embeddings") == 6
        assert len(count.tokenizer.encode("word " * 500).ids) == 502

    @pytest.mark.parametrize("choice", ["openai", "hashing"])
    def test_others_count_by_the_estimate(self, choice: str):
        assert token_counter(choice) is estimated_tokens

    def test_your_own_counts_as_its_factory_says(self):
        assert token_counter(f"{OWN}:counted")("four") == 4
        assert token_counter(f"{OWN}:plain") is estimated_tokens


class TestExtras:
    def test_what_is_missing_is_one_line_that_says_what_to_install(self):
        with (
            pytest.raises(EmbedderError, match=r"^.*pip install 'headrace\[embeddings\]'$") as info,
            installed_with("embeddings", embedder="minilm"),
        ):
            import no_such_module  # noqa: F401, PLC0415 - not there
        assert "no_such_module" in str(info.value)

    def test_nothing_heavy_is_imported_before_it_is_needed(self):
        heavy = {"numpy", "onnxruntime", "tokenizers", "openai"}
        program = (
            "import asyncio, sys; from headrace.pipelines.documents.embedding import *;"
            "asyncio.run(open_embedder('hashing')); token_counter('hashing');"
            f"print({heavy} & set(sys.modules))"
        )
        found = subprocess.run(
            [sys.executable, "-c", program], check=True, capture_output=True, text=True
        )
        assert found.stdout.strip() == "set()"


class TestOptions:
    @pytest.mark.parametrize("key", ["sk-canary", SecretStr("sk-canary")])
    def test_a_key_is_not_shown(self, key: str | SecretStr):
        assert "canary" not in repr(EmbedderOptions(api_key=key))
