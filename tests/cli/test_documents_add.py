"""`headrace documents add`, with real files."""

from __future__ import annotations

import signal
from pathlib import Path

import asyncpg
import pytest

from headrace.store.failpoints import VARIABLE
from headrace.store.operations import pause_queue
from tests.cli.conftest import Commands
from tests.cli.papers import BROKEN, PICTURE, QUIET, SLUICE, WHEEL, outcomes, reason
from tests.cli.test_submit import read_until


async def close_queue(database: str) -> None:
    """Let nothing begin."""
    connection = await asyncpg.connect(database)
    await pause_queue(connection, "default", by="tests", reason="later")
    await connection.close()


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
        (folder / "picture.png").write_bytes(PICTURE)
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
        (folder / "picture.png").write_bytes(PICTURE)
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

    async def test_without_anything_to_do_it_runs_no_worker(
        self, library: Commands, folder: Path
    ) -> None:
        (folder / "picture.png").write_bytes(PICTURE)
        result = await library.run("documents", "add", str(folder / "picture.png"))
        assert result.code == 20, result.err
        assert "no worker is alive" not in result.err

    async def test_a_folder_that_takes_no_files_is_told_apart_from_the_database(
        self, library: Commands, folder: Path
    ) -> None:
        place = folder / "wheel.md"
        result = await library.run(*QUIET, str(place), HEADRACE_DOCUMENTS_FOLDER=str(place))
        assert result.code == 10, result.err
        assert f"the folder of the documents, {place}, cannot be written to" in result.err
        assert "Not a directory" in result.err

    async def test_what_was_cut_off_goes_on_with_the_same_command(
        self, library: Commands, folder: Path
    ) -> None:
        # The lease of the killed one is never over in this test: its silence is noticed.
        times = {"HEADRACE_HEARTBEAT_S": "1", "HEADRACE_LEASE_S": "600"}
        midst = {VARIABLE: "claim.after_commit:1:kill"}
        cut = await library.run("documents", "add", str(folder), **times, **midst)
        assert cut.code == -signal.SIGKILL
        result = await library.run(*QUIET, "--json", str(folder), **times)
        assert result.code == 0, result.err
        assert set(outcomes(result).values()) == {"added"}

    async def test_its_time_may_be_limited(self, library: Commands, folder: Path) -> None:
        result = await library.run(*QUIET, "--json", "--timeout", "0.01s", str(folder))
        assert result.code == 12, result.err
        assert set(outcomes(result).values()) == {"waiting"}

    async def test_ctrl_c_says_what_is_left(
        self, library: Commands, folder: Path, documents_database: str
    ) -> None:
        await close_queue(documents_database)  # else it might be done before it hears
        process = await library.start("documents", "add", str(folder))
        await read_until(process, "wheel.md: uploaded", stream="stderr")
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
        assert process.returncode == 130
        assert "files have not ended: the same command, or a worker, goes on" in err.decode()
        assert "Traceback" not in err.decode()

    @pytest.mark.parametrize(
        ("arguments", "code", "told"),
        [
            (("--name", "x.md", "FOLDER"), 20, "--name: is for one file; there are 2"),
            (("--sha256", "00", "FOLDER/wheel.md"), 20, "has the sha256"),
            (("--tenant", "", "FOLDER"), 20, "tenant: '' cannot be used"),
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
