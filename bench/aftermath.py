"""What the tables look like after very many jobs."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncpg

TABLES: Final = """
select c.oid::regclass::text from pg_class as c
where c.relnamespace = 'headrace'::regnamespace and c.relkind = 'r'
"""
SMALLEST: Final = 1 << 20
"""Bytes below which a table's size says nothing: maps of free space alone take 100 KiB."""
LEFTOVERS: Final = """
select (select count(*) from headrace.queued) + (select count(*) from headrace.claims)
    + (select count(*) from headrace.progress)
"""


async def aftermath(connection: "asyncpg.Connection[asyncpg.Record]") -> Mapping[str, float]:
    """`bloat`: the worst table after VACUUM over its size after VACUUM FULL; `leftovers`: rows."""
    leftovers = await connection.fetchval(LEFTOVERS)
    tables = [row[0] for row in await connection.fetch(TABLES)]
    worst = 1.0
    for table in tables:
        await connection.execute(f"vacuum {table}")
        after = await connection.fetchval("select pg_table_size($1::text::regclass)", table)
        await connection.execute(f"vacuum full {table}")
        least = await connection.fetchval("select pg_table_size($1::text::regclass)", table)
        worst = max(worst, max(after, SMALLEST) / max(least, SMALLEST))
    return {"bloat": worst, "leftovers": float(leftovers)}
