"""What README and docs show is run: Python, SQL and commands, page by page, in their order.

The first line of a block says how it is meant: ```python reading.py is a file of the reader's
project, ```python without a name is run as it stands (`await` is fine), ```python raises NAME must
raise that, ```console holds commands after `$ ` with what they print (`...` is anything), exit=N
is the exit code of the last one, `background` is a second terminal, `elsewhere` cannot be run in a
test and says so. ```text is no code.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType

import asyncpg
import pytest

import headrace
from headrace import Headrace
from headrace.store.embedded.home import base_folder
from tests.docs.pages import PAGES, ROOT, Block, fits, read_blocks, read_commands, read_links
from tests.docs.shell import Shell
from tests.memory import folder_in_memory

PROJECT = Path("/headrace/docs")
ELSEWHERE = {
    "BREAKER_INVALID",
    "BUDGET_INVALID",
    "LIMIT_INVALID",
    "NOT_IN_PROCESS",
    "NOT_IN_STEP",
    "ONCE_NAME_TAKEN",
    "OPERATION_NESTED",
}
"""Codes that are raised while a step runs, or by what it uses."""
LANGUAGES = {"python", "console", "sql", "toml", "text"}
WITH_CODE = [
    page
    for page in PAGES
    if any(block.language in LANGUAGES - {"text"} for block in read_blocks(page))
]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


class Reader:
    """Somebody who does what a page says, in a project of their own."""

    def __init__(self, page: Path, folder: Path, database: str) -> None:
        self._page, self._folder, self._database = page, folder, database
        self.shell = Shell(folder)
        self._module = ModuleType(f"page_{page.stem.replace('-', '_')}")
        sys.modules[self._module.__name__] = self._module
        self._files: list[str] = []
        self._hidden: dict[str, ModuleType] = {}

    async def follow(self) -> None:
        for block in read_blocks(self._page):
            await self._do(block)

    async def close(self) -> None:
        await self.shell.close()
        modules = [self._module, *(sys.modules[name] for name in self._files)]
        apps = {id(app): app for module in modules for app in vars(module).values()}
        for app in apps.values():
            if isinstance(app, Headrace):
                await app.close()
        for module in modules:
            del sys.modules[module.__name__]
        sys.modules.update(self._hidden)

    async def _do(self, block: Block) -> None:
        if block.file is not None:
            self._save(block.file, block)
        elif block.language == "python":
            await self._run(block)
        elif block.language == "console" and "elsewhere" not in block.words:
            await self._type(block)
        elif block.language == "sql":
            connection = await asyncpg.connect(self._database)
            try:
                await connection.fetch(block.text)
            finally:
                await connection.close()

    def _save(self, file: str, block: Block) -> None:
        path = self._folder / file
        path.parent.mkdir(exist_ok=True)
        path.write_text(block.text, encoding="utf-8")
        if file.endswith(".py"):
            name = file.removesuffix(".py")
            importlib.invalidate_caches()
            other = sys.modules.pop(name, None)
            if name not in self._files:
                self._files.append(name)
                if other is not None:  # of that name in this process: an example's
                    self._hidden[name] = other
            importlib.import_module(name)

    async def _run(self, block: Block) -> None:
        where = f"{name_of(self._page)}:{block.line}"
        code = compile(block.text, where, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if "raises" not in block.words:
            await self._execute(code)
            return
        with pytest.raises(Exception) as raised:  # noqa: PT011 - its name is compared
            await self._execute(code)
        assert type(raised.value).__name__ == block.words[-1], where

    async def _execute(self, code: object) -> None:
        result = eval(code, vars(self._module))  # type: ignore[call-overload]  # noqa: S307 - ours
        if inspect.isawaitable(result):
            await result

    async def _type(self, block: Block) -> None:
        commands = read_commands(block)
        for place, command in enumerate(commands, 1):
            if "background" in block.words:
                await self.shell.start(command.text)
                continue
            code, printed = await self.shell.run(command.text)
            where = f"{name_of(self._page)}:{block.line}: {command.text}\n{printed}"
            if code:
                where += self.shell.said_behind()
            assert code == (block.exit_code if place == len(commands) else 0), where
            assert fits(command.output, printed), where


@pytest.fixture
async def reader(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Reader]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in os.environ if name.startswith("HEADRACE_DOCUMENTS_")]:
        monkeypatch.delenv(name)  # what other tests of this process have set is not the reader's
    monkeypatch.setenv("HEADRACE_DATABASE_URL", database)
    monkeypatch.setenv("HEADRACE_ENV", "development")
    monkeypatch.setenv("HEADRACE_DOCUMENTS_FOLDER", str(tmp_path / ".documents"))
    monkeypatch.setenv("HEADRACE_ENV", "development")
    # The engine of `headrace.testing` has a server for each project: all pages share this one, or
    # each run would leave a cluster behind for each of its folders.
    servers = folder_in_memory("headrace-docs") or base_folder(PROJECT, None)
    monkeypatch.setenv("HEADRACE_DATA_DIR", str(servers))
    someone = Reader(request.param, tmp_path, database)
    yield someone
    await someone.close()


class TestPages:
    @pytest.mark.timeout(180)
    @pytest.mark.parametrize("reader", WITH_CODE, indirect=True, ids=name_of)
    async def test_what_a_page_shows_runs(self, reader: Reader) -> None:
        await reader.follow()

    @pytest.mark.parametrize("page", PAGES, ids=name_of)
    def test_every_block_says_what_it_is(self, page: Path) -> None:
        unknown = {block.language for block in read_blocks(page)} - LANGUAGES
        assert unknown == set()

    @pytest.mark.parametrize("page", PAGES, ids=name_of)
    def test_links_to_files_lead_somewhere(self, page: Path) -> None:
        missing = [link for link in read_links(page) if not (page.parent / link).exists()]
        assert missing == []

    def test_no_two_pages_take_the_same_port(self) -> None:
        """They are tried at the same time."""
        users: dict[str, set[str]] = {}
        for page in PAGES:
            for port in re.findall(r"\b189\d\d\b", page.read_text(encoding="utf-8")):
                users.setdefault(port, set()).add(name_of(page))
        assert [pages for pages in users.values() if len(pages) > 1] == []

    def test_every_page_can_be_found_from_the_index(self) -> None:
        seen, waiting = set(), [ROOT / "docs" / "index.md"]
        while waiting:
            page = waiting.pop().resolve()
            if page not in seen and page.suffix == ".md":
                seen.add(page)
                waiting += [page.parent / link for link in read_links(page)]
        assert {page for page in PAGES if page.is_relative_to(ROOT / "docs")} <= seen


class TestPublicNames:
    def test_the_reference_has_every_one(self) -> None:
        page = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
        assert [name for name in headrace.__all__ if name not in page] == []


class TestDefinitionErrors:
    def test_the_page_has_every_code_that_the_model_raises_and_no_other(self) -> None:
        sources = (ROOT / "src" / "headrace" / "model").glob("*.py")
        code = "\n".join(source.read_text(encoding="utf-8") for source in sources)
        raised = set(re.findall(r'\(\s*"([A-Z]+_[A-Z_]+)"', code))
        page = (ROOT / "docs" / "reference" / "definition-errors.md").read_text(encoding="utf-8")
        assert set(re.findall(r"^\| `([A-Z_]+)`", page, re.MULTILINE)) == raised | ELSEWHERE
