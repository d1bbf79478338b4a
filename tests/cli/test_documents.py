"""`headrace documents` and `headrace search`, on real files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from headrace.store.databases import fresh_database, make_template
from tests.cli.conftest import FOLDER, Commands, Result
from tests.cli.test_submit import read_until

SLUICE = "# Sluice\n\nThe miller opens the green gate at dawn.\n"
WHEEL = "# Wheel\n\nThe wheel turns six times in a minute.\n"
BROKEN = b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\n"
QUIET = ("documents", "add", "--quiet")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files that can be read."""
    made = tmp_path / "files"
    made.mkdir()
    (made / "sluice.md").write_text(SLUICE)
    (made / "wheel.md").write_text(WHEEL)
    return made


def outcomes(result: Result) -> dict[str, str]:
    """By the name of the file."""
    files = json.loads(result.out)["files"]
    return {Path(file["file"]).name: file["outcome"] for file in files}


def reason(result: Result, name: str) -> str:
    files = json.loads(result.out)["files"]
    [found] = [file["reason"] for file in files if Path(file["file"]).name == name]
    return str(found)


async def stored_id(library: Commands, path: Path) -> str:
    """The id of a document that nobody has ingested yet."""
    result = await library.run(*QUIET, "--no-wait", "--json", str(path))
    return str(result.json()["files"][0]["document"])


class TestAdd:
    async def test_a_folder_is_searchable_once_it_ends(
        self, library: Commands, folder: Path
    ) -> None:
        added = await library.run("documents", "add", str(folder))
        assert added.code == 0, added.err
        assert "no worker is alive for documents in queue default" in added.err
        assert "wheel.md: added (1 chunks)" in added.err
        assert "2 files: 2 added" in added.err
        head, *rows = (line.split("\t") for line in added.out.splitlines())
        assert head == ["file", "outcome", "chunks", "document", "reason"]
        assert [row[:3] for row in rows] == [
            [str(folder / name), "added", "1"] for name in ("sluice.md", "wheel.md")
        ]
        found = await library.run("search", "Who opens the gate?", "--limit", "1", "--json")
        [hit] = found.json()
        assert (hit["name"], hit["position"]) == ("sluice.md", "lines 1-3")
        assert "green gate" in hit["text"]

    async def test_the_same_content_is_ingested_once(self, library: Commands, folder: Path) -> None:
        (folder / "copy.md").write_text(SLUICE)
        first = await library.run(*QUIET, "--json", str(folder))
        assert sorted(outcomes(first).values()) == ["added", "added", "reused"], first.err
        again = await library.run(*QUIET, "--json", str(folder), str(folder / "copy.md"))
        assert set(outcomes(again).values()) == {"reused"}
        assert again.json()["counts"] == {"reused": 3}

    async def test_what_a_folder_holds_beside_documents_is_listed_and_does_no_harm(
        self, library: Commands, folder: Path
    ) -> None:
        (folder / ".hidden.md").write_text(WHEEL)
        (folder / ".git").mkdir()
        (folder / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0")
        result = await library.run(*QUIET, "--no-wait", "--json", str(folder))
        assert result.code == 0, result.err
        assert outcomes(result) == {
            ".git": "refused",
            ".hidden.md": "refused",
            "picture.png": "refused",
            "sluice.md": "waiting",
            "wheel.md": "waiting",
        }
        assert "PNG image" in reason(result, "picture.png")

    async def test_a_file_that_was_named_and_is_refused_ends_it_with_20(
        self, library: Commands, folder: Path
    ) -> None:
        (folder / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0")
        (folder / "link.md").symlink_to("nowhere")
        result = await library.run(
            *QUIET, "--no-wait", "--json",
            *(str(folder / name) for name in ("wheel.md", "picture.png", "link.md", "gone.md")),
        )  # fmt: skip
        assert result.code == 20
        assert outcomes(result)["wheel.md"] == "waiting"
        assert reason(result, "link.md") == "it is a link to nothing"
        assert reason(result, "gone.md") == "there is no such file or folder"

    async def test_a_file_of_a_folder_that_is_too_large_is_not_passed_over(
        self, library: Commands, folder: Path
    ) -> None:
        result = await library.run(
            *QUIET, "--no-wait", "--json", str(folder),
            HEADRACE_DOCUMENTS_MAX_BYTES=str(len(WHEEL)),
        )  # fmt: skip
        assert outcomes(result) == {"sluice.md": "refused", "wheel.md": "waiting"}
        assert result.code == 20

    async def test_a_document_that_fails_ends_it_with_3_and_its_reason(
        self, library: Commands, folder: Path
    ) -> None:
        (folder / "broken.pdf").write_bytes(BROKEN)
        result = await library.run(*QUIET, "--json", str(folder))
        assert result.code == 3
        assert outcomes(result)["broken.pdf"] == "failed"
        assert outcomes(result)["wheel.md"] == "added"
        assert "PDF" in reason(result, "broken.pdf")
        assert "Traceback" not in result.err

    async def test_it_leaves_the_work_to_a_worker_that_is_alive(
        self, library: Commands, folder: Path
    ) -> None:
        worker = await library.start(
            "worker", "headrace.pipelines.documents:app", "--no-supervisor"
        )
        await read_until(worker, "worker_started")
        result = await library.run("documents", "add", str(folder))
        assert result.code == 0, result.err
        assert "no worker is alive" not in result.err

    async def test_what_was_cut_off_goes_on_with_the_same_command(
        self, library: Commands, folder: Path
    ) -> None:
        cut = await library.start("documents", "add", str(folder), HEADRACE_HEARTBEAT_S="1")
        await read_until(cut, "parse queued", stream="stderr")
        cut.kill()
        await cut.communicate()
        result = await library.run(*QUIET, "--json", str(folder), HEADRACE_HEARTBEAT_S="1")
        assert set(outcomes(result).values()) <= {"added", "reused"}, result.err
        assert result.code == 0

    async def test_its_time_may_be_limited(self, library: Commands, folder: Path) -> None:
        result = await library.run(*QUIET, "--json", "--timeout", "0.01s", str(folder))
        assert result.code == 12, result.err
        assert set(outcomes(result).values()) == {"waiting"}

    async def test_ctrl_c_says_what_is_left(self, library: Commands, folder: Path) -> None:
        process = await library.start("documents", "add", str(folder))
        await read_until(process, "parse queued", stream="stderr")
        process.send_signal(2)
        _, err = await process.communicate()
        assert process.returncode == 130
        assert "files have not ended: the same command, or a worker, goes on" in err.decode()
        assert "Traceback" not in err.decode()

    @pytest.mark.parametrize(
        ("arguments", "code", "told"),
        [
            (("--name", "x.md", "FOLDER"), 20, "--name: is for one file; there are 2"),
            (("--sha256", "00", "FOLDER/wheel.md"), 20, "has the sha256"),
            (("--timeout", "soon", "FOLDER"), 20, "'soon' is no time"),
            (("FOLDER/empty",), 20, "holds no files"),
            (("--app", "shop:app", "FOLDER"), 21, "does not carry the pipeline `documents`"),
            ((), 2, "PATH"),
        ],
    )
    async def test_what_is_not_accepted_is_told_and_stores_nothing(
        self, library: Commands, folder: Path, arguments: tuple[str, ...], code: int, told: str
    ) -> None:
        (folder / "empty").mkdir()
        given = [argument.replace("FOLDER", str(folder)) for argument in arguments]
        result = await library.run(*QUIET, *given)
        assert result.code == code, result.err
        assert told in result.err + result.out
        assert (await library.run("documents", "list", "--json")).json()["items"] == []


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
