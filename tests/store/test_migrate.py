import asyncio
import subprocess
from pathlib import Path

import asyncpg
import pytest

from headrace.errors import DatabaseUnavailableError, SchemaError
from headrace.store import migrate as migrations
from headrace.store.migrate import (
    MigrationChangedError,
    MigrationRefusedError,
    Series,
    check_schema,
    migrate,
    pending,
    print_sql,
    read_migrations,
)
from headrace.store.pool import connect

FIRST = "create table headrace.things (id int primary key, name text);\n"
SECOND = (
    "alter table headrace.things add column size int;\ninsert into headrace.things values (1);\n"
)
INDEX = """\
-- transaction: no
create index concurrently if not exists things_name on headrace.things (name);
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "0001_things.sql").write_text(FIRST)
    (tmp_path / "0002_size.sql").write_text(SECOND)
    return tmp_path


async def fetch(database: str, query: str) -> list[tuple[object, ...]]:
    connection = await connect(database)
    try:
        return [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


async def check(database: str, folder: Path) -> None:
    connection = await connect(database)
    try:
        await check_schema(connection, Series(folder))
    finally:
        await connection.close()


class TestMigrate:
    async def test_an_empty_database_gets_all_steps_in_order(
        self, empty_database: str, folder: Path
    ) -> None:
        applied = await migrate(empty_database, Series(folder))
        assert [step.name for step in applied] == ["things", "size"]
        assert await fetch(empty_database, "select id, size from headrace.things") == [(1, None)]
        await check(empty_database, folder)

    async def test_a_second_run_does_nothing(self, empty_database: str, folder: Path) -> None:
        await migrate(empty_database, Series(folder))
        assert await migrate(empty_database, Series(folder)) == ()

    async def test_only_what_is_missing_is_applied(self, empty_database: str, folder: Path) -> None:
        await migrate(empty_database, Series(folder))
        (folder / "0003_more.sql").write_text("create table headrace.more ();")
        assert [step.version for step in await migrate(empty_database, Series(folder))] == [3]

    async def test_processes_that_start_together_apply_each_step_once(
        self, empty_database: str, folder: Path
    ) -> None:
        (folder / "0003_index.sql").write_text(INDEX)
        runs = await asyncio.gather(*(migrate(empty_database, Series(folder)) for _ in range(6)))
        assert sorted(step.version for run in runs for step in run) == [1, 2, 3]

    async def test_a_database_at_head_is_not_kept_waiting_by_the_lock(
        self, empty_database: str, folder: Path
    ) -> None:
        await migrate(empty_database, Series(folder))
        holder = await connect(empty_database)
        try:
            await holder.execute("select pg_advisory_lock($1, $2)", *migrations.LOCK)
            assert await asyncio.wait_for(migrate(empty_database, Series(folder)), 5) == ()
        finally:
            await holder.close()

    async def test_a_step_that_fails_leaves_nothing_and_the_next_run_goes_on(
        self, empty_database: str, folder: Path
    ) -> None:
        broken = folder / "0003_broken.sql"
        broken.write_text("create table headrace.half ();\nselect 1 / 0;\n")
        with pytest.raises(asyncpg.DivisionByZeroError):
            await migrate(empty_database, Series(folder))
        assert await fetch(empty_database, "select to_regclass('headrace.half')") == [(None,)]
        broken.write_text("create table headrace.half ();\n")
        assert [step.version for step in await migrate(empty_database, Series(folder))] == [3]

    async def test_a_table_lock_of_another_is_waited_for_in_short_turns(
        self, empty_database: str, folder: Path
    ) -> None:
        await migrate(empty_database, Series(folder))
        (folder / "0003_more.sql").write_text("alter table headrace.things add column more int;")
        holder = await connect(empty_database)
        try:
            transaction = holder.transaction()
            await transaction.start()
            await holder.execute("lock table headrace.things in access exclusive mode")
            run = asyncio.create_task(migrate(empty_database, Series(folder)))
            done, _ = await asyncio.wait({run}, timeout=3.5)  # longer than one lock_timeout
            assert not done
            await transaction.rollback()
            assert [step.version for step in await run] == [3]
        finally:
            await holder.close()

    async def test_a_server_that_is_not_there_is_named_as_unavailable(self, folder: Path) -> None:
        with pytest.raises(DatabaseUnavailableError):
            await migrate("postgresql://postgres@/postgres?host=/nowhere", Series(folder))


class TestStepsOutsideTransactions:
    async def test_an_index_is_built_concurrently(self, empty_database: str, folder: Path) -> None:
        (folder / "0003_index.sql").write_text(INDEX)
        await migrate(empty_database, Series(folder))
        valid = (
            "select indisvalid from pg_index where indexrelid = 'headrace.things_name'::regclass"
        )
        assert await fetch(empty_database, valid) == [(True,)]

    async def test_an_index_whose_build_was_cut_off_is_built_again(
        self, empty_database: str, folder: Path
    ) -> None:
        await migrate(empty_database, Series(folder))
        connection = await connect(empty_database)
        try:
            await connection.execute("insert into headrace.things values (2, 'a'), (3, 'a')")
            with pytest.raises(asyncpg.UniqueViolationError):
                await connection.execute(
                    "create unique index concurrently things_name on headrace.things (name)"
                )
        finally:
            await connection.close()
        (folder / "0003_index.sql").write_text(INDEX)
        await migrate(empty_database, Series(folder))
        valid = (
            "select indisvalid from pg_index where indexrelid = 'headrace.things_name'::regclass"
        )
        assert await fetch(empty_database, valid) == [(True,)]


class TestCheckSchema:
    async def test_an_empty_database_is_told_to_migrate(
        self, empty_database: str, folder: Path
    ) -> None:
        with pytest.raises(SchemaError, match="headrace migrate") as caught:
            await check(empty_database, folder)
        assert (caught.value.found, caught.value.needed) == (0, 2)

    async def test_an_older_database_is_told_to_migrate(
        self, empty_database: str, folder: Path
    ) -> None:
        await migrate(empty_database, Series(folder))
        (folder / "0003_more.sql").write_text("create table headrace.more ();")
        with pytest.raises(SchemaError, match="headrace migrate") as caught:
            await check(empty_database, folder)
        assert (caught.value.found, caught.value.needed) == (2, 3)

    async def test_a_newer_database_is_refused_by_an_older_version(
        self, empty_database: str, folder: Path
    ) -> None:
        await migrate(empty_database, Series(folder))
        (folder / "0002_size.sql").unlink()
        with pytest.raises(SchemaError, match="install the version") as caught:
            await check(empty_database, folder)
        assert (caught.value.found, caught.value.needed) == (2, 1)
        with pytest.raises(SchemaError):
            await migrate(empty_database, Series(folder))

    async def test_a_file_that_was_changed_after_it_ran_is_refused(
        self, empty_database: str, folder: Path
    ) -> None:
        await migrate(empty_database, Series(folder))
        (folder / "0001_things.sql").write_text(FIRST + "-- an edit\n")
        with pytest.raises(MigrationChangedError, match="0001_things"):
            await check(empty_database, folder)

    async def test_asking_what_is_pending_changes_nothing(
        self, empty_database: str, folder: Path
    ) -> None:
        connection = await connect(empty_database)
        try:
            assert len(await pending(connection, Series(folder))) == 2
            assert await connection.fetchval("select to_regnamespace('headrace')") is None
        finally:
            await connection.close()


class TestPrintSql:
    async def test_a_database_made_by_psql_from_it_passes_the_check(
        self, empty_database: str, folder: Path, postgres_wheel: Path
    ) -> None:
        psql = postgres_wheel / "pginstall/bin/psql"
        (folder / "0003_index.sql").write_text(INDEX)
        script = folder / "all.txt"
        script.write_text(print_sql([Series(folder)]))
        result = await asyncio.to_thread(
            subprocess.run,
            [psql, "-q", "-X", "-d", empty_database, "-f", script],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (result.returncode, result.stderr) == (0, "")
        await check(empty_database, folder)


class TestReadMigrations:
    @pytest.mark.parametrize("name", ["0003_gap.sql", "0001_twice.sql", "2_short.sql", "0002.sql"])
    def test_numbers_have_no_gaps_and_names_have_a_form(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "0001_things.sql").write_text(FIRST)
        (tmp_path / name).write_text(FIRST)
        with pytest.raises(ValueError, match=r"named|numbered"):
            read_migrations(tmp_path)

    async def test_the_own_schema_is_complete(self, database: str) -> None:
        await check(database, migrations.FOLDER)


class TestPipelines:
    """A pipeline's own tables: a series of its own, after the engine's."""

    async def test_its_migrations_are_numbered_for_themselves(
        self, empty_database: str, folder: Path, tmp_path: Path
    ) -> None:
        await migrate(empty_database, Series(folder))
        for pipeline in ("orders", "bills"):
            own = tmp_path / pipeline
            own.mkdir()
            (own / "0001_tables.sql").write_text(f"create table {pipeline} ();")
            series = Series(own, pipeline)
            assert [step.name for step in await migrate(empty_database, series)] == ["tables"]
            assert await migrate(empty_database, series) == ()
        assert await migrate(empty_database, Series(folder)) == ()

    async def test_a_database_without_its_tables_is_told_apart(
        self, empty_database: str, folder: Path, tmp_path: Path
    ) -> None:
        await migrate(empty_database, Series(folder))
        own = tmp_path / "orders"
        own.mkdir()
        (own / "0001_tables.sql").write_text("create table orders ();")
        connection = await connect(empty_database)
        try:
            with pytest.raises(
                SchemaError, match="of pipeline orders is at 0, this version needs 1"
            ):
                await check_schema(connection, Series(own, "orders"))
        finally:
            await connection.close()

    async def test_a_migration_can_say_why_it_cannot_be_applied(
        self, empty_database: str, folder: Path, tmp_path: Path
    ) -> None:
        await migrate(empty_database, Series(folder))
        own = tmp_path / "orders"
        own.mkdir()
        refusal = "create table orders (); do $$ begin raise exception 'needs a moon'; end $$;"
        (own / "0001_tables.sql").write_text(refusal)
        with pytest.raises(MigrationRefusedError, match="orders 0001_tables: needs a moon"):
            await migrate(empty_database, Series(own, "orders"))
        connection = await connect(empty_database)
        try:
            assert await connection.fetchval("select to_regclass('orders')") is None
        finally:
            await connection.close()
