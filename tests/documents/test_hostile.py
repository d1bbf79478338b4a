"""Files that would harm, and parsers that are killed or hang: through the whole pipeline."""

import os
import signal
from pathlib import Path

import pytest

from headrace.pipelines.documents import FileRefusedError, Library, Stage
from headrace.testing import Engine
from tests.documents import files
from tests.documents.blocked import Blocked
from tests.documents.writing import markdown
from tests.waiting import eventually

PIPELINE = "headrace.pipelines.documents:documents"
LIMITS = {
    "HEADRACE_DOCUMENTS_PARSE_TIMEOUT_S": "10",
    "HEADRACE_DOCUMENTS_PARSE_MEMORY_MIB": "256",
}
SENTENCE = "The sluice is opened at dawn."

HOSTILE = {
    "pages.pdf": (files.big_pdf, "10,000 pages"),
    "bomb.docx": (files.zip_bomb, "more than 64 MiB"),
    "lies.docx": (lambda: files.zip_bomb(claimed=1_000), "more than 64 MiB"),
    "overlap.docx": (files.overlapping_zip, "overlap"),
    "memory.pdf": (files.inflating_pdf, "near its limit of 256 MiB"),
    "forms.pdf": (files.exploding_pdf, "near its limit of 256 MiB"),
    "cycle.pdf": (files.cyclic_pdf, "damaged"),
    "locked.pdf": (files.encrypted_pdf, "password"),
    "scan.pdf": (files.scanned_pdf, "no text on any page"),
    "cut.pdf": (lambda: files.pdf([SENTENCE] * 30)[:900], "was cut off"),
    "line.txt": (lambda: b"x" * 11_000_000, "more than 10,000,000 characters"),
}


class TestHostileFiles:
    async def test_each_fails_with_its_reason_while_others_go_on(
        self, engine: Engine, library: Library
    ):
        jobs = {name: await library.add(make(), name=name) for name, (make, _) in HOSTILE.items()}
        good = await library.add(files.pdf([SENTENCE]), name="good.pdf")
        async with engine.spawn(PIPELINE, environment=LIMITS, concurrency=3):
            assert (await good.job.result(40)).chunks == 1
            for name, added in jobs.items():
                await eventually(lambda added=added: self.has_ended(library, added.document),
                                 within=40)  # fmt: skip
                status = await library.document(added.document)
                assert status.stage is Stage.FAILED_PARSE, name
                assert status.problem is not None
                assert HOSTILE[name][1] in status.problem.message, name
                is_users = status.problem.code == "USER_ERROR"
                assert len(await engine.tries(added.job)) == (1 if is_users else 2), name
                assert is_users == ("limit of 256" not in status.problem.message)
            hits = await library.search(SENTENCE)
            assert [(hit.name, hit.page) for hit in hits] == [("good.pdf", 1)]

    async def has_ended(self, library: Library, document: str) -> bool:
        return (await library.document(document)).stage.is_final

    @pytest.mark.parametrize(
        ("name", "data"),
        [
            ("picture.pdf", files.huge_png()),
            ("moving.md", files.animated_gif()),
            ("many.docx", files.crowded_zip(70_000)),
            ("program.txt", b"\x7fELF\2\1\1\0" + bytes(100)),
            ("empty.md", b""),
        ],
    )
    async def test_what_is_no_document_is_refused_at_the_door(
        self, engine: Engine, library: Library, name: str, data: bytes
    ):
        with pytest.raises(FileRefusedError):
            await library.add(data, name=name)
        assert await engine.jobs() == []


def step_processes(worker: int) -> list[int]:
    """The processes that the template of a worker has forked."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text()
        except OSError:  # it has just ended
            continue
        parents[int(folder.name)] = int(stat.rpartition(")")[2].split()[1])
    return [pid for pid, parent in parents.items() if parents.get(parent) == worker]


class TestTheParseProcess:
    async def test_killed_from_outside_it_is_tried_again(self, engine: Engine, library: Library):
        added = await library.add(markdown("killed", 2).encode(), name="killed.md")
        blocked = Blocked(added.document)
        async with engine.spawn(PIPELINE) as worker:
            await eventually(blocked.has_reader, within=20)
            (pid,) = step_processes(worker.pid)
            blocked.repair()
            os.kill(pid, signal.SIGKILL)
            assert (await added.job.result(40)).chunks > 0
        blocked.close()
        assert [row.code for row in await engine.tries(added.job)] == ["PROCESS_DIED"]

    async def test_it_is_killed_at_its_time_limit_and_others_go_on(
        self, engine: Engine, library: Library
    ):
        added = await library.add(markdown("hangs", 2).encode(), name="hangs.md")
        blocked = Blocked(added.document)
        async with engine.spawn(PIPELINE, environment=LIMITS) as worker:
            await eventually(blocked.has_reader, within=20)
            (pid,) = step_processes(worker.pid)
            other = await library.add(markdown("runs", 2).encode(), name="runs.md")
            assert (await other.job.result(40)).chunks > 0
            assert pid in step_processes(worker.pid)
            (row,) = await eventually(lambda: engine.tries(added.job), within=30)
            assert (row.kind, row.step) == ("timeout", "parse")
            blocked.repair()
            assert (await added.job.result(40)).chunks > 0
            assert pid not in step_processes(worker.pid)
        blocked.close()
