"""Brings the schema `headrace` of a database up to what this version needs.

The steps lie in `migrations/NNNN_name.sql`, numbered from 1 without gaps, and only go forward. Each
runs in a transaction of its own together with its row in `headrace.migrations`. A file that
begins with `-- transaction: no` holds one statement that PostgreSQL refuses in a transaction (an
index built concurrently), and is written so that it can run again: `create index concurrently if
not exists`. What was applied is compared by checksum, so a file is never edited after a release.

A pipeline may bring tables of its own: its migrations are a second series, numbered for itself and
kept in `headrace.pipeline_migrations`, which is applied after the engine's.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import asyncpg

from headrace.errors import ConflictError, DatabaseUnavailableError, SchemaError
from headrace.store.failures import Backoff, is_retryable
from headrace.store.pool import connect

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headrace.store.pool import Connection

FOLDER: Final = Path(__file__).parent / "migrations"
FILE_NAME: Final = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
LOCK: Final = (0x6865_6164, 0)  # "head": the class of our advisory locks; 0 is this one
WAIT_S: Final = 300.0  # for another process that migrates
LOCK_TRIES: Final = 20
# Behind a request for a table lock all other statements queue, so it is given up soon and retried.
SESSION: Final = {"lock_timeout": "3s", "statement_timeout": "0"}

BOOKKEEPING: Final = """\
create schema if not exists headrace;
create table if not exists headrace.migrations (
    version integer primary key,
    name text not null,
    sha256 text not null,
    applied_at timestamptz not null default now()
);
"""
PIPELINE_BOOKKEEPING: Final = """\
create table if not exists headrace.pipeline_migrations (
    pipeline text not null,
    version integer not null,
    name text not null,
    sha256 text not null,
    applied_at timestamptz not null default now(),
    primary key (pipeline, version)
);
"""
INVALID_INDEXES: Final = """\
select format('%I.%I', namespace.nspname, class.relname)
from pg_index as index
join pg_class as class on class.oid = index.indexrelid
join pg_namespace as namespace on namespace.oid = class.relnamespace
where namespace.nspname = 'headrace' and not index.indisvalid
"""


class MigrationChangedError(ConflictError):
    """A migration that this database has is not the one that this version carries."""

    code = "migration_changed"

    def __init__(self, version: int, name: str) -> None:
        super().__init__(version, name)
        self.version, self.name = version, name

    def __str__(self) -> str:
        return (
            f"migration {self.version:04}_{self.name} was changed after this database had it:"
            " install the version of headrace that made it, or restore the file"
        )


class MigrationRefusedError(ConflictError):
    """A migration said itself, by `raise exception`, why it cannot be applied to this database."""

    code = "migration_refused"

    def __init__(self, migration: str, reason: str) -> None:
        super().__init__(migration, reason)
        self.migration, self.reason = migration, reason

    def __str__(self) -> str:
        return f"migration {self.migration}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Series:
    """Migrations that are numbered together: those of the engine, or those of one pipeline.

    Attributes:
        folder: Where the files lie.
        pipeline: Whose they are; None for the engine's.
    """

    folder: Path = FOLDER
    pipeline: str | None = None

    @property
    def table(self) -> str:
        """Where it is kept what was applied."""
        return "headrace.migrations" if self.pipeline is None else "headrace.pipeline_migrations"

    @property
    def bookkeeping(self) -> str:
        """Makes that table."""
        return BOOKKEEPING if self.pipeline is None else PIPELINE_BOOKKEEPING

    @property
    def applied(self) -> str:
        """The statement that reads what was applied."""
        chosen = "" if self.pipeline is None else f" where pipeline = {_quoted(self.pipeline)}"
        return f"select version, name, sha256 from {self.table}{chosen} order by version"  # noqa: S608

    def record(self, migration: Migration) -> str:
        """The statement that keeps that a migration was applied."""
        column, value = (
            ("", "") if self.pipeline is None else ("pipeline, ", f"{_quoted(self.pipeline)}, ")
        )
        return (
            f"insert into {self.table} ({column}version, name, sha256)\n"
            f"values ({value}{migration.version}, '{migration.name}', '{migration.sha256}')"
        )

    def label(self, migration: Migration) -> str:
        """What a migration is called: `0001_engine`, `documents 0001_tables`."""
        owner = "" if self.pipeline is None else f"{self.pipeline} "
        return f"{owner}{migration.version:04}_{migration.name}"


ENGINE: Final = Series()


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered step of the schema."""

    version: int
    name: str
    sql: str
    sha256: str

    @property
    def in_transaction(self) -> bool:
        """False for the steps that PostgreSQL refuses in a transaction."""
        return not self.sql.startswith("-- transaction: no")


def read_migrations(folder: Path = FOLDER) -> tuple[Migration, ...]:
    """All steps of `folder`, by number.

    Raises:
        ValueError: A file is not named `NNNN_name.sql`, or the numbers have gaps or repeat.
    """
    migrations = []
    for path in sorted(folder.glob("*.sql")):
        match = FILE_NAME.fullmatch(path.name)
        if match is None:
            raise ValueError(f"{path}: a migration is named NNNN_name.sql")
        sql = path.read_text(encoding="utf-8")
        checksum = hashlib.sha256(sql.encode()).hexdigest()
        migrations.append(Migration(int(match[1]), match[2], sql, checksum))
    versions = [migration.version for migration in migrations]
    if versions != list(range(1, len(versions) + 1)):
        raise ValueError(f"{folder}: the migrations are numbered {versions}, not from 1 upwards")
    return tuple(migrations)


async def migrate(dsn: str, series: Series = ENGINE) -> tuple[Migration, ...]:
    """Bring a database up to date; safe to run from many processes at once.

    A database that is up to date is only read, so starting processes do not queue. Killed half-way
    it leaves whole steps only, and the next run goes on.

    Args:
        dsn: Address of the server itself, past a pooler.
        series: What to apply; that of a pipeline needs the engine's before it.

    Returns:
        The steps that this call applied; empty when there was nothing to do.

    Raises:
        SchemaError: The database is newer than this version.
        MigrationChangedError: A step that the database has is another one here.
        MigrationRefusedError: A step says why it cannot be applied to this database.
        DatabaseUnavailableError: The database, or a table lock, or the turn of another process
            that migrates could not be had. What was applied stays.
    """
    connection = await connect(dsn, name="headrace migrate", settings=SESSION, command_timeout=None)
    try:
        if not await pending(connection, series):
            return ()
        await _wait_for_turn(connection)
        await connection.execute(series.bookkeeping)
        todo = await pending(connection, series)  # another process may have been faster
        for migration in todo:
            await _apply(connection, series, migration)
        return todo
    finally:
        await connection.close()  # frees the lock too


async def pending(connection: Connection, series: Series = ENGINE) -> tuple[Migration, ...]:
    """The steps that the database lacks, in order; only reads.

    Raises:
        SchemaError: The database is newer than this version.
        MigrationChangedError: A step that the database has is another one here.
    """
    known = read_migrations(series.folder)
    exists = await connection.fetchval("select to_regclass($1) is not null", series.table)
    applied = await connection.fetch(series.applied) if exists else []
    if len(applied) > len(known):
        raise SchemaError(applied[-1]["version"], len(known), series.pipeline)
    for row, migration in zip(applied, known, strict=False):
        if (row["version"], row["sha256"]) != (migration.version, migration.sha256):
            raise MigrationChangedError(row["version"], row["name"])
    return known[len(applied) :]


async def check_schema(connection: Connection, series: Series = ENGINE) -> None:
    """Return when the database has exactly the schema of this version; only reads.

    Raises:
        SchemaError: It is older or newer; the text says what to do.
        MigrationChangedError: A step that the database has is another one here.
    """
    missing = await pending(connection, series)
    if missing:
        raise SchemaError(missing[0].version - 1, missing[-1].version, series.pipeline)


def print_sql(every: Iterable[Series] = (ENGINE,)) -> str:
    """The whole schema as a script for psql, bookkeeping included, for those who apply it by hand.

    A database made from it passes `check_schema`.
    """
    return "\n".join(["\\set ON_ERROR_STOP on\n", *(_script(series) for series in every)])


def _script(series: Series) -> str:
    parts = [series.bookkeeping]
    for migration in read_migrations(series.folder):
        body, record = migration.sql.rstrip(), f"{series.record(migration)};\n"
        whole = (
            f"begin;\n{body}\n{record}commit;\n"
            if migration.in_transaction
            else (f"{body}\n{record}")
        )
        parts.append(f"-- {series.label(migration)}\n{whole}")
    return "\n".join(parts)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


async def _wait_for_turn(connection: Connection) -> None:
    """Take the lock by asking again and again.

    A session that waits in `pg_advisory_lock` holds a snapshot, and an index that is being built
    concurrently by the one that has the lock would wait for that snapshot: a deadlock.
    """
    deadline = time.monotonic() + WAIT_S
    backoff = Backoff()
    while not await connection.fetchval("select pg_try_advisory_lock($1, $2)", *LOCK):
        if time.monotonic() > deadline:
            raise DatabaseUnavailableError(
                f"another process has been migrating this database for {WAIT_S:.0f} s"
            )
        await asyncio.sleep(backoff.next_s())


async def _apply(connection: Connection, series: Series, migration: Migration) -> None:
    """Apply one step; a table lock that cannot be had within 3 s is asked for again, 20 times."""
    backoff = Backoff()
    for _ in range(LOCK_TRIES - 1):
        try:
            return await _apply_once(connection, series, migration)
        except asyncpg.RaiseError as error:
            raise MigrationRefusedError(series.label(migration), str(error)) from error
        except Exception as error:
            if not is_retryable(error):
                raise
            await asyncio.sleep(backoff.next_s())
    return await _apply_once(connection, series, migration)


async def _apply_once(connection: Connection, series: Series, migration: Migration) -> None:
    if migration.in_transaction:
        async with connection.transaction():
            await connection.execute(migration.sql)
            await connection.execute(series.record(migration))
        return
    # A build that was cut off leaves an index that is never used and that `if not exists` takes
    # for a good one.
    for row in await connection.fetch(INVALID_INDEXES):
        await connection.execute(f"drop index concurrently {row[0]}")
    await connection.execute(migration.sql)
    await connection.execute(series.record(migration))
