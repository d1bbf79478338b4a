"""`headrace jobs signal-url` prints links that the API knows."""

from __future__ import annotations

from pathlib import Path

from headrace import Headrace as App
from headrace import Pipeline, Signal
from headrace.model.link import read_token
from tests.cli.conftest import Headrace

KEY = "of-these-tests-alone-0123456789abcdef"
MILL = """
from headrace import Headrace, Pipeline, Signal

mill = Pipeline("mill", input=int, output=bool)


@mill.step
async def decide(number: int, go: bool = Signal(timeout=3_600)) -> bool:
    return go


app = Headrace([mill])
"""


async def job_of(database: str) -> str:
    mill = Pipeline("mill", input=int, output=bool)

    @mill.step
    async def decide(number: int, *, go: bool = Signal(timeout=3_600)) -> bool:
        return go and bool(number)

    async with App([mill], database=database) as app:
        return (await app.submit(mill, 1)).id


class TestSignalUrl:
    async def test_it_prints_a_link_to_a_signal_of_a_job(
        self, headrace: Headrace, database: str, tmp_path: Path
    ):
        (tmp_path / "mill.py").write_text(MILL)
        job = await job_of(database)
        keys = {"HEADRACE_SIGNING_KEYS": KEY, "HEADRACE_PUBLIC_URL": "https://jobs.example.com"}
        options = ("--app", "mill:app", "--title", "Open the sluice?", "--valid", "2h")
        command = ("jobs", "signal-url", job, "go", *options)
        result = await headrace(*command, folder=tmp_path, **keys)
        assert result.code == 0, result.err
        address, _, token = result.out.strip().rpartition("/")
        assert address == "https://jobs.example.com/signals"
        link = read_token([KEY.encode()], token)
        assert link is not None
        assert (str(link.job), link.name, link.title) == (job, "go", "Open the sluice?")
        # Without a key nothing is signed, and it is said what to do.
        result = await headrace(*command, folder=tmp_path)
        assert result.code != 0
        assert "HEADRACE_SIGNING_KEYS" in result.err
