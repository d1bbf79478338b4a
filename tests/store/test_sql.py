from pathlib import Path

import asyncpg
import pytest

from headrace.statements import Statements
from headrace.store.sql import SQL

JOBS = """\
-- Everything about jobs.

-- name: claim
-- Takes up to $1 due jobs.
-- $1 limit int
select id
from jobs -- the order matters
limit $1;

-- name: finish
update jobs set state = 'done'
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "jobs.sql").write_text(JOBS)
    (tmp_path / "steps.sql").write_text("-- name: claim\nselect 2;\n")
    return tmp_path


class TestStatements:
    def test_a_statement_is_found_by_its_file_and_its_name(self, folder: Path) -> None:
        assert Statements(folder)["steps.claim"] == "select 2"

    def test_the_text_has_no_header_and_no_closing_semicolon(self, folder: Path) -> None:
        expected = "select id\nfrom jobs -- the order matters\nlimit $1"
        assert Statements(folder)["jobs.claim"] == expected

    def test_the_comment_is_kept_apart(self, folder: Path) -> None:
        claim = next(iter(Statements(folder)))
        assert claim.doc == "Takes up to $1 due jobs.\n$1 limit int"

    def test_all_statements_can_be_walked(self, folder: Path) -> None:
        names = [statement.name for statement in Statements(folder)]
        assert names == ["jobs.claim", "jobs.finish", "steps.claim"]

    def test_an_unknown_name_is_an_error_that_names_it(self, folder: Path) -> None:
        with pytest.raises(KeyError, match=r"no statement 'jobs\.clam'"):
            Statements(folder)["jobs.clam"]


class TestFilesThatAreWrong:
    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("select 1;\n-- name: a\nselect 2;", "before the first"),
            ("-- name: a\n-- only a comment\n", "empty"),
            ("-- name: a\nselect 1;\n-- name: a\nselect 2;", "two statements"),
            ("-- name: A-b\nselect 1;", "not a name"),
            ("-- name:\nselect 1;", "not a name"),
        ],
    )
    def test_they_are_refused(self, tmp_path: Path, text: str, problem: str) -> None:
        (tmp_path / "x.sql").write_text(text)
        with pytest.raises(ValueError, match=problem):
            list(Statements(tmp_path))


class TestOwnStatements:
    def test_every_statement_says_what_it_is_for(self) -> None:
        undocumented = [statement.name for statement in SQL if not statement.doc]
        assert undocumented == []

    async def test_every_statement_fits_the_schema(self, database: str) -> None:
        connection = await asyncpg.connect(database)
        try:
            for statement in SQL:
                await connection.prepare(statement.text, name=statement.name)
        finally:
            await connection.close()
