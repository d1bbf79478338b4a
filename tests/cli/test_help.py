"""The command itself: help, version, usage, and how errors are told."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import FOLDER, Commands, Headrace

HELP_S = 0.2
ENGINE = ("asyncpg", "pydantic", "structlog", "orjson", "rich", "asyncio")


@pytest.fixture
def offline() -> Commands:
    return Commands()


def processor_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class TestHelp:
    def test_it_takes_less_than_a_fifth_of_a_second(self) -> None:
        command = [sys.executable, "-m", "headrace", "--help"]
        took = []
        for _ in range(5):  # the first ones may compile; processor time, since others may run
            before = processor_s()
            subprocess.run(command, check=True, capture_output=True)
            took.append(processor_s() - before)
        assert min(took) < HELP_S

    def test_it_imports_nothing_of_the_engine(self) -> None:
        code = (
            "import sys\n"
            "from headrace.cli.program import program\n"
            "try: program(['--help'])\n"
            "except SystemExit: pass\n"
            f"print([name for name in {ENGINE!r} if name in sys.modules], file=sys.stderr)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        )
        assert done.stderr.strip() == "[]"

    async def test_the_version_is_printed(self, offline: Commands) -> None:
        assert (await offline.run("--version")).out == "headrace 0.1.0\n"

    async def test_an_unknown_command_is_a_wrong_usage(self, offline: Commands) -> None:
        result = await offline.run("wrok")
        assert result.code == 2
        assert "wrok" in result.err


class TestApp:
    @pytest.mark.parametrize(
        ("reference", "told"),
        [
            ("shop", "'shop' is not module:attribute"),
            ("nowhere:app", "there is no module 'nowhere'"),
            ("shop.deeper:app", "there is no module 'shop.deeper'"),
            ("shop:missing", "did you mean shop:app?"),
            ("shop:orders", "is of type Pipeline, not a Headrace"),
            ("misdefined:app", "[ANNOTATION_MISSING]"),
        ],
    )
    async def test_a_wrong_one_gets_one_line(
        self, headrace: Headrace, reference: str, told: str
    ) -> None:
        result = await headrace("worker", reference, "--until-empty", "--no-supervisor")
        assert result.code == 21
        assert result.out == ""
        [line] = result.err.splitlines()
        assert line.startswith("headrace: ")
        assert told in line

    async def test_a_missing_one_is_told_what_to_write(
        self, headrace: Headrace, tmp_path: Path
    ) -> None:
        result = await headrace("worker", folder=tmp_path)
        assert result.code == 21
        assert 'write [tool.headrace] app = "module:attribute" in pyproject.toml' in result.err

    async def test_it_is_taken_from_pyproject(self, headrace: Headrace, tmp_path: Path) -> None:
        (tmp_path / "pyproject.toml").write_text('[tool.headrace]\napp = "shop:app"\n')
        (tmp_path / "shop.py").write_text((FOLDER / "shop.py").read_text())
        result = await headrace("worker", "--until-empty", "--no-supervisor", folder=tmp_path)
        assert result.code == 0, result.err

    async def test_an_error_of_its_code_keeps_its_traceback(
        self, headrace: Headrace, tmp_path: Path
    ) -> None:
        (tmp_path / "broken.py").write_text("import no_such_package\n")
        result = await headrace("worker", "broken:app", "--no-supervisor", folder=tmp_path)
        assert result.code == 40
        assert "Traceback" in result.err
        assert "no_such_package" in result.err


class TestErrors:
    async def test_a_missing_schema_names_the_command_that_makes_it(
        self, bare_commands: Commands
    ) -> None:
        result = await bare_commands.run("queues", "list")
        assert result.code == 23
        assert "run `headrace migrate`" in result.err
        assert len(result.err.splitlines()) == 1

    async def test_a_wrong_setting_is_one_line(self, headrace: Headrace) -> None:
        result = await headrace("queues", "list", HEADRACE_LEASE_S="never")
        assert result.code == 21
        assert result.err.startswith("headrace: HEADRACE_LEASE_S: 'never' is not accepted")

    async def test_a_server_that_is_away_is_one_line(self, headrace: Headrace) -> None:
        result = await headrace(
            "queues", "list", HEADRACE_DATABASE_URL="postgresql://nobody@localhost:1/nothing"
        )
        assert result.code == 10
        assert len(result.err.splitlines()) == 1

    async def test_a_server_that_refuses_is_one_line(
        self, headrace: Headrace, database: str
    ) -> None:
        missing = database.replace("headrace_test_", "headrace_missing_", 1)
        result = await headrace("queues", "list", HEADRACE_DATABASE_URL=missing)
        assert result.code == 21
        assert "does not exist; correct HEADRACE_DATABASE_URL" in result.err
