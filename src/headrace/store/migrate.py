"""Brings the schema `headrace` of a database up to what this version needs.

The steps lie in `migrations/NNNN_name.sql`, numbered from 1 without gaps, and only go forward. Each
runs in a transaction of its own together with its row in `headrace.migrations`. A file that
begins with `-- transaction: no` holds one statement that PostgreSQL refuses in a transaction (an
index built concurrently), and is written so that it can run again: `create index concurrently if
not exists`. What was applied is compared by checksum, so a file is never edited after a release.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from headrace.errors import ConflictError, DatabaseUnavailableError, SchemaError
from headrace.store.failures import Backoff, is_retryable
from headrace.store.pool import connect

if TYPE_CHECKING:
    from collections.abc import Sequence

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
RECORD: Final = "insert into headrace.migrations (version, name, sha256) values ($1, $2, $3)"
APPLIED: Final = "select version, name, sha256 from headrace.migrations order by version"
EXISTS: Final = "select to_regclass('headrace.migrations') is not null"
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


async def migrate(dsn: str, *, folder: Path = FOLDER) -> tuple[Migration, ...]:
    """Bring a database up to date; safe to run from many processes at once.

    A database that is up to date is only read, so starting processes do not queue. Killed half-way
    it leaves whole steps only, and the next run goes on.

    Args:
        dsn: Address of the server itself, past a pooler.
        folder: Where the steps lie.

    Returns:
        The steps that this call applied; empty when there was nothing to do.

    Raises:
        SchemaError: The database is newer than this version.
        MigrationChangedError: A step that the database has is another one here.
        DatabaseUnavailableError: The database, or a table lock, or the turn of another process
            that migrates could not be had. What was applied stays.
    """
    connection = await connect(dsn, name="headrace migrate", settings=SESSION, command_timeout=None)
    try:
        if not await pending(connection, folder=folder):
            return ()
        await _wait_for_turn(connection)
        await connection.execute(BOOKKEEPING)
        todo = await pending(connection, folder=folder)  # another process may have been faster
        for migration in todo:
            await _apply(connection, migration)
        return todo
    finally:
        await connection.close()  # frees the lock too


async def pending(connection: Connection, *, folder: Path = FOLDER) -> tuple[Migration, ...]:
    """The steps that the database lacks, in order; only reads.

    Raises:
        SchemaError: The database is newer than this version.
        MigrationChangedError: A step that the database has is another one here.
    """
    known = read_migrations(folder)
    applied = await connection.fetch(APPLIED) if await connection.fetchval(EXISTS) else []
    if len(applied) > len(known):
        raise SchemaError(found=applied[-1]["version"], needed=len(known))
    for row, migration in zip(applied, known, strict=False):
        if (row["version"], row["sha256"]) != (migration.version, migration.sha256):
            raise MigrationChangedError(row["version"], row["name"])
    return known[len(applied) :]


async def check_schema(connection: Connection, *, folder: Path = FOLDER) -> None:
    """Return when the database has exactly the schema of this version; only reads.

    Raises:
        SchemaError: It is older or newer; the text says what to do.
        MigrationChangedError: A step that the database has is another one here.
    """
    missing = await pending(connection, folder=folder)
    if missing:
        raise SchemaError(found=missing[0].version - 1, needed=missing[-1].version)


def print_sql(*, folder: Path = FOLDER) -> str:
    """The whole schema as a script for psql, bookkeeping included, for those who apply it by hand.

    A database made from it passes `check_schema`.
    """
    return _script(read_migrations(folder))


def _script(migrations: Sequence[Migration]) -> str:
    parts = ["\\set ON_ERROR_STOP on\n", BOOKKEEPING]
    for migration in migrations:
        record = (
            "insert into headrace.migrations (version, name, sha256)\n"
            f"values ({migration.version}, '{migration.name}', '{migration.sha256}');\n"
        )
        body = migration.sql.rstrip()
        whole = (
            f"begin;\n{body}\n{record}commit;\n"
            if migration.in_transaction
            else (f"{body}\n{record}")
        )
        parts.append(f"-- {migration.version:04}_{migration.name}\n{whole}")
    return "\n".join(parts)


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


async def _apply(connection: Connection, migration: Migration) -> None:
    """Apply one step; a table lock that cannot be had within 3 s is asked for again, 20 times."""
    backoff = Backoff()
    for _ in range(LOCK_TRIES - 1):
        try:
            return await _apply_once(connection, migration)
        except Exception as error:
            if not is_retryable(error):
                raise
            await asyncio.sleep(backoff.next_s())
    return await _apply_once(connection, migration)


async def _apply_once(connection: Connection, migration: Migration) -> None:
    record = (migration.version, migration.name, migration.sha256)
    if migration.in_transaction:
        async with connection.transaction():
            await connection.execute(migration.sql)
            await connection.execute(RECORD, *record)
        return
    # A build that was cut off leaves an index that is never used and that `if not exists` takes
    # for a good one.
    for row in await connection.fetch(INVALID_INDEXES):
        await connection.execute(f"drop index concurrently {row[0]}")
    await connection.execute(migration.sql)
    await connection.execute(RECORD, *record)
