"""How the server would run, and did run, a statement of the engine on large tables."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg

from headrace.store.sql import SQL

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

# As in large.sql.
LANES, READY, CLAIM = 5, 20_000, 100
RUNNING = "select id, token from headrace.jobs where state = 'running' order by id limit 100"
SUSPECTS = True

FILL = (Path(__file__).parent / "large.sql").read_text()


async def fill(connection: Connection) -> None:
    """Put over a hundred thousand jobs into an empty database."""
    await connection.execute(FILL)
    await connection.execute("vacuum analyze")


@dataclass
class Access:
    """How one table was read: by which indexes, and how many rows were looked at."""

    ways: set[str] = field(default_factory=set)
    rows: float = 0


async def explain(connection: Connection, statement: str, *arguments: object) -> dict[str, Access]:
    """Run a statement with its generic plan, take it back, and tell how each table was read."""
    (found,) = await explain_each(connection, statement, [arguments])
    return found


async def explain_claim(
    connection: Connection, lanes: list[int], shares: list[int] | None = None, quota: int = CLAIM
) -> dict[str, Access]:
    """A claim from the lanes in each of the shares, by default in that of `large.sql`."""
    if shares is None:
        shares = [await connection.fetchval("select headrace.share_of('tenant')")]
    return await explain(
        connection, "claims.claim_jobs", 1, lanes * len(shares), CLAIM, not SUSPECTS, [],
        [share for share in shares for _ in lanes], quota,
    )  # fmt: skip


async def explain_each(
    connection: Connection,
    statement: str,
    uses: Sequence[Sequence[object]],
    *,
    before: Sequence[Sequence[object]] = (),
) -> list[dict[str, Access]]:
    """As `explain`, with several arguments after each other, on one prepared statement.

    Args:
        connection: Its settings decide whether the server may plan each use for itself.
        statement: Its name.
        uses: The arguments of each.
        before: Those of earlier uses: after five of them the server may choose one plan for all.
    """
    await connection.execute(f"prepare measured as {SQL[statement]}")
    transaction = connection.transaction()
    await transaction.start()
    try:
        for arguments in before:
            await connection.execute(f"execute measured {_values(arguments)}")
        texts = [
            await connection.fetchval(
                f"explain (analyze, buffers, format json) execute measured {_values(arguments)}"
            )
            for arguments in uses
        ]
    finally:
        await transaction.rollback()
        await connection.execute("deallocate measured")
    return [_accesses(text) for text in texts]


async def running(connection: Connection) -> tuple[list[str], list[int]]:
    async with connection.transaction():
        await connection.execute("set local enable_seqscan = on")
        rows = await connection.fetch(RUNNING)
    return [str(row["id"]) for row in rows], [row["token"] for row in rows]


def check(found: dict[str, Access], expected: dict[str, tuple[set[str], int]]) -> None:
    """Each table is read by these indexes alone, and at most so many rows of it."""
    assert {name: access.ways for name, access in found.items()} == {
        name: ways for name, (ways, _) in expected.items()
    }
    for name, (_, most) in expected.items():
        assert found[name].rows <= most, name


def _accesses(text: str) -> dict[str, Access]:
    found: defaultdict[str, Access] = defaultdict(Access)
    for node in _nodes(json.loads(text)[0]["Plan"]):
        if "Scan" in node["Node Type"] and "Relation Name" in node:
            access = found[node["Relation Name"]]
            access.ways.add(node.get("Index Name") or _way(node))
            removed = node.get("Rows Removed by Filter", 0)
            removed += node.get("Rows Removed by Index Recheck", 0)
            access.rows += (node["Actual Rows"] + removed) * node["Actual Loops"]
    return dict(found)


def _values(arguments: Sequence[object]) -> str:
    return f"({', '.join(map(_literal, arguments))})" if arguments else ""


def _way(node: dict[str, Any]) -> str:
    if node["Node Type"] == "Bitmap Heap Scan":
        return str(node["Plans"][0]["Index Name"])
    return str(node["Node Type"])


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)


def _literal(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool | int | float):
        return str(value).lower()
    if isinstance(value, Sequence) and not isinstance(value, str):
        # Of a type that only the statement knows.
        return "'{" + ",".join(_item(item) for item in value) + "}'"
    return "'" + str(value).replace("'", "''") + "'"


def _item(value: object) -> str:
    return "null" if value is None else f'"{value}"'
