"""`headrace migrate`."""

from __future__ import annotations

import json

import asyncpg

from tests.cli.conftest import Commands


class TestMigrate:
    async def test_an_empty_database_gets_the_schema_once(self, bare_commands: Commands) -> None:
        first = await bare_commands.run("migrate")
        assert first.code == 0
        assert "applied 0001_" in first.out
        again = await bare_commands.run("migrate")
        assert again.code == 0
        assert "nothing to do" in again.out

    async def test_the_status_tells_what_is_missing(self, bare_commands: Commands) -> None:
        before = await bare_commands.run("migrate", "status", "--json")
        assert before.code == 1
        assert {row["state"] for row in json.loads(before.out)} == {"missing"}
        await bare_commands.run("migrate")
        after = await bare_commands.run("migrate", "status")
        assert after.code == 0
        assert "missing" not in after.out

    async def test_printing_changes_nothing(
        self, bare_commands: Commands, empty_database: str
    ) -> None:
        printed = await bare_commands.run("migrate", "--print")
        assert "create table headrace.jobs" in printed.out
        connection = await asyncpg.connect(empty_database)
        try:
            assert await connection.fetchval("select to_regnamespace('headrace')") is None
        finally:
            await connection.close()
