"""`headrace documents` and `headrace search`: what is there, and the APP that carries it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from headrace.store.databases import fresh_database, make_template
from tests.cli.conftest import FOLDER, Commands
from tests.cli.papers import BROKEN, QUIET, WHEEL, stored_id


class TestLook:
    async def test_without_documents_it_says_how_to_add_some(self, library: Commands) -> None:
        for arguments in (("documents", "list"), ("search", "anything")):
            result = await library.run(*arguments)
            assert result.code == 0
            assert "no documents yet: headrace documents add PATH" in result.err

    async def test_pages_of_the_list_go_on(self, library: Commands, folder: Path) -> None:
        await library.run(*QUIET, "--no-wait", str(folder))
        first = await library.run("documents", "list", "--limit", "1")
        assert first.out.splitlines()[0].split("\t") == [
            "name", "kind", "size", "stage", "%", "chunks", "id",
        ]  # fmt: skip
        cursor = first.err.split("--cursor ")[1].strip()
        rest = await library.run("documents", "list", "--cursor", cursor, "--json")
        assert len(rest.json()["items"]) == 1
        assert rest.json()["next"] is None

    async def test_a_document_is_shown_with_its_steps(
        self, library: Commands, folder: Path
    ) -> None:
        (folder / "broken.pdf").write_bytes(BROKEN)
        added = await library.run(*QUIET, "--json", str(folder / "broken.pdf"))
        key = json.loads(added.out)["files"][0]["document"]
        shown = await library.run("documents", "show", key)
        assert shown.code == 0, shown.err
        assert "failed_parse" in shown.out
        assert "PDF" in shown.out
        assert "parse\tfailed" in shown.out
        listed = await library.run("documents", "chunks", key)
        assert "broken.pdf is failed_parse" in listed.err
        everything = (await library.run("documents", "show", key, "--json")).json()
        assert everything["job"]["id"] == everything["document"]["job"]

    async def test_chunks_are_listed_in_their_order(
        self, library: Commands, tmp_path: Path
    ) -> None:
        path = tmp_path / "long.md"
        path.write_text("\n\n".join(f"# Part {number}\n\n{'word ' * 300}" for number in range(4)))
        added = await library.run(*QUIET, "--json", str(path))
        key = added.json()["files"][0]["document"]
        chunks = (await library.run("documents", "chunks", key, "--json")).json()
        assert [chunk["ordinal"] for chunk in chunks] == list(range(len(chunks)))
        assert len(chunks) == added.json()["files"][0]["chunks"] > 1
        one = await library.run("documents", "chunks", key, "--first", "1", "--limit", "1")
        assert len(one.out.splitlines()) == 2
        assert "--first 2" in one.err

    async def test_documents_of_others_are_not_there(self, library: Commands, folder: Path) -> None:
        key = await stored_id(library, folder / "wheel.md")
        for arguments in (("show", key), ("chunks", key), ("delete", key), ("show", "nonsense")):
            result = await library.run("documents", *arguments, "--owner", "ann")
            assert result.code == 22, result.err
            assert len(result.err.splitlines()) == 1
        found = await library.run("search", "wheel", "--document", "nonsense")
        assert found.code == 22

    async def test_deleted_ones_are_gone_and_the_others_stay(
        self, library: Commands, folder: Path
    ) -> None:
        gone = await stored_id(library, folder / "wheel.md")
        await stored_id(library, folder / "sluice.md")
        result = await library.run("documents", "delete", gone, "nonsense")
        assert result.code == 22
        assert result.out == f"{gone} is deleted\n"
        left = (await library.run("documents", "list", "--json")).json()["items"]
        assert [document["name"] for document in left] == ["sluice.md"]


class TestSearch:
    async def test_it_finds_what_is_near_among_what_is_wanted(
        self, library: Commands, folder: Path
    ) -> None:
        added = (await library.run(*QUIET, "--json", str(folder))).json()["files"]
        wheel = added[1]["document"]
        question = ("search", "The wheel turns six times")
        table = await library.run(*question)
        head, best, _ = (line.split("\t") for line in table.out.splitlines())
        assert head == ["score", "name", "position", "document", "text"]
        assert best[1] == "wheel.md"
        only = (await library.run(*question, "--document", wheel, "--json")).json()
        assert [hit["document"] for hit in only] == [wheel]
        none = await library.run("search", "quite another matter", "--min-score", "0.99")
        assert "nothing found" in none.err
        wrong = await library.run("search", " ")
        assert wrong.code == 20


class TestApp:
    async def test_one_of_the_folder_that_carries_documents_is_taken(
        self, library: Commands, tmp_path: Path
    ) -> None:
        (tmp_path / "pyproject.toml").write_text('[tool.headrace]\napp = "mill:app"\n')
        (tmp_path / "mill.py").write_text(
            "import sys\n"
            "from headrace import Headrace\n"
            "from headrace.pipelines.documents import documents\n"
            "print('the mill', file=sys.stderr)\n"
            "app = Headrace(pipelines=[documents])\n"
        )
        result = await library.run("documents", "list", folder=tmp_path)
        assert result.code == 0
        assert "the mill" in result.err

    async def test_one_that_does_not_leaves_it_to_the_shipped_one(
        self, library: Commands, tmp_path: Path
    ) -> None:
        (tmp_path / "pyproject.toml").write_text('[tool.headrace]\napp = "shop:app"\n')
        (tmp_path / "shop.py").write_text((FOLDER / "shop.py").read_text())
        result = await library.run("documents", "list", folder=tmp_path)
        assert result.code == 0, result.err

    async def test_a_missing_extra_is_one_line(
        self, library: Commands, folder: Path, tmp_path: Path
    ) -> None:
        hidden = tmp_path / "hiding"
        hidden.mkdir()
        (hidden / "sitecustomize.py").write_text("import sys\nsys.modules['mammoth'] = None\n")
        result = await library.run(*QUIET, str(folder), PYTHONPATH=str(hidden))
        assert result.code == 21
        [line] = result.err.splitlines()
        assert line.endswith("pip install 'headrace[documents]'")


class TestSettings:
    async def test_a_wrong_one_is_one_line(self, library: Commands) -> None:
        result = await library.run("documents", "list", HEADRACE_DOCUMENTS_BATCH_TEXTS="900")
        assert result.code == 21
        assert result.err == (
            "headrace: HEADRACE_DOCUMENTS_BATCH_TEXTS: '900' is not accepted; "
            "give 1 to 256, or unset it (default: 256)\n"
        )

    async def test_an_embedder_that_is_none_is_told_before_anything_is_stored(
        self, library: Commands, folder: Path
    ) -> None:
        for arguments in ((*QUIET, str(folder)), ("search", "gate")):
            result = await library.run(*arguments, HEADRACE_DOCUMENTS_EMBEDDER="bert")
            assert result.code == 21
            assert result.err.startswith("headrace: there is no embedder 'bert': choose minilm")
        assert "no documents yet" in (await library.run("documents", "list")).err

    async def test_they_are_shown_and_known(self, library: Commands, tmp_path: Path) -> None:
        key = tmp_path / "key"
        key.write_text("a key that nobody sees\n")
        shown = await library.run(
            "config", "show", "--json",
            HEADRACE_DOCUMENTS_OPENAI_API_KEY_FILE=str(key), HEADRACE_DOCUMENTS_EMBEDER="minilm",
        )  # fmt: skip
        values = {row["setting"]: row["value"] for row in shown.json()["settings"]}
        assert values["HEADRACE_DOCUMENTS_EMBEDDER"] == "hashing"
        assert values["HEADRACE_DOCUMENTS_OPENAI_API_KEY"] == "***"
        assert shown.json()["unknown"] == ["HEADRACE_DOCUMENTS_EMBEDER"]
        assert "nobody sees" not in shown.out


class TestTables:
    async def test_missing_ones_name_the_command_that_makes_them(
        self, library: Commands, vector_server: str
    ) -> None:
        template = await make_template(vector_server)
        async with fresh_database(vector_server, template) as database:
            result = await library.run("documents", "list", HEADRACE_DATABASE_URL=database)
        assert result.code == 23
        [line] = result.err.splitlines()
        assert line.endswith("run `headrace migrate --app headrace.pipelines.documents:app`")

    @pytest.mark.usefixtures("bare_server")
    async def test_a_server_without_pgvector_is_refused_with_one_line(
        self, commands: Commands, tmp_path: Path
    ) -> None:
        (tmp_path / "wheel.md").write_text(WHEEL)
        app = ("--app", "headrace.pipelines.documents:app")
        told = (
            r"needs? the extension pgvector, which this PostgreSQL [\d.]+ does not have: install it"
        )
        for arguments in (("migrate", *app), ("documents", "add", str(tmp_path))):
            result = await commands.run(*arguments)
            assert result.code == 23
            [line] = result.err.splitlines()
            assert re.search(told, line)
