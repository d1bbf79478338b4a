"""Databases that last for one test: copies of a template that has the schema.

A template is kept for each state of the migrations, so a copy costs a third of a second. Names tell
which process made a copy: what a killed one left behind is dropped by the next.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from headrace.store.migrate import ENGINE, Series, migrate, read_migrations

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from headrace.store.pool import HeldConnection

TEMPLATE_LOCK: Final = 7_241_003
TEMPLATE_PREFIX: Final = "headrace_template_"
COPY_PREFIX: Final = "headrace_test_"
EMPTY: Final = "template1"
"""PostgreSQL's own template: no schema of headrace."""

_numbers = itertools.count()


@contextlib.asynccontextmanager
async def fresh_database(server: str, template: str) -> AsyncIterator[str]:
    """A copy of a template inside an `async with` block, whose target is its address.

    Args:
        server: Address of any database of the server, as a user who may create others.
        template: What `make_template` returned, or `EMPTY`.
    """
    name = f"{COPY_PREFIX}{os.getpid()}_{next(_numbers)}"
    async with _administrator(server) as connection:
        await connection.execute(f'create database "{name}" template "{template}"')
    try:
        yield _address_of(server, name)
    finally:
        async with _administrator(server) as connection:
            await connection.execute(f'drop database "{name}" with (force)')


async def make_template(server: str, every: Sequence[Series] = (ENGINE,)) -> str:
    """The name of a database with the schema, made once for each state of the migrations."""
    checksums = "".join(
        f"{series.pipeline}{migration.sha256}"
        for series in every
        for migration in read_migrations(series.folder)
    )
    name = TEMPLATE_PREFIX + hashlib.sha256(checksums.encode()).hexdigest()[:12]
    async with _administrator(server) as connection:
        await connection.execute("select pg_advisory_lock($1)", TEMPLATE_LOCK)
        whole = await connection.fetchval(
            "select datistemplate from pg_database where datname = $1", name
        )
        if not whole:  # missing, or left half-made by a process that was killed
            await connection.execute(f'drop database if exists "{name}" with (force)')
            await connection.execute(f'create database "{name}"')
            for series in every:
                await migrate(_address_of(server, name), series)
            await connection.execute(f'alter database "{name}" is_template true')
    return name


async def drop_leftovers(server: str) -> None:
    """Drop the copies of processes of this machine that were killed, and templates of older SQL."""
    async with _administrator(server) as connection:
        # One process at a time: what another one has just made anew bears the name of what was old.
        await connection.execute("select pg_advisory_lock($1)", TEMPLATE_LOCK)
        for row in await connection.fetch(
            "select datname from pg_database where starts_with(datname, $1)", COPY_PREFIX
        ):
            process = row["datname"].removeprefix(COPY_PREFIX).split("_")[0]
            if process.isdecimal() and not _is_running(int(process)):
                await connection.execute(f'drop database if exists "{row["datname"]}" with (force)')
        for row in await connection.fetch(
            """
            select datname from pg_database
            where starts_with(datname, $1)
              and (pg_stat_file('base/' || oid || '/PG_VERSION', true)).modification
                  < now() - interval '1 day'
            """,
            TEMPLATE_PREFIX,
        ):
            await connection.execute(f'alter database "{row["datname"]}" is_template false')
            await connection.execute(f'drop database if exists "{row["datname"]}" with (force)')


@contextlib.asynccontextmanager
async def _administrator(server: str) -> AsyncIterator[HeldConnection]:
    connection = await asyncpg.connect(server)
    try:
        yield connection
    finally:
        await connection.close()


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _address_of(server: str, database: str) -> str:
    return urlunsplit(urlsplit(server)._replace(path=f"/{database}"))
