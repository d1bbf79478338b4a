"""What a gated claim reads does not grow with what gates keep out, nor with what has ended."""

from __future__ import annotations

from collections import defaultdict
from uuid import UUID

from tests.gates.database import GatedDatabase

READ = """
    select relname, seq_scan, coalesce(idx_tup_fetch, 0) + seq_tup_read as rows
    from pg_stat_xact_user_tables where schemaname = 'headrace'
"""
LARGE = ("jobs", "queued", "blocked", "ordered", "slots")
MANY = 3_000


async def read_by(gates: GatedDatabase, worker: int, ended: list[UUID]) -> dict[str, int]:
    """The rows of each large table that one claim reads; it is taken back."""
    transaction = gates.connection.transaction()
    await transaction.start()
    before = await counted(gates)
    assert len(await gates.pass_gates(worker, ended=ended)) == 1
    after = await counted(gates)
    await transaction.rollback()
    scans = {name: after[name][0] - before[name][0] for name in LARGE}
    assert scans == dict.fromkeys(LARGE, 0)
    return {name: after[name][1] - before[name][1] for name in LARGE}


async def counted(gates: GatedDatabase) -> defaultdict[str, tuple[int, int]]:
    """Scans of whole tables, and rows that were read, in this session so far."""
    rows = await gates.connection.fetch(READ)
    found = {row["relname"]: (row["seq_scan"], row["rows"]) for row in rows}
    return defaultdict(lambda: (0, 0), found)


async def test_thousands_of_blocked_jobs_are_not_read(gates: GatedDatabase) -> None:
    worker = await gates.start_worker()
    await gates.add(MANY, order="a")
    await gates.add(MANY, key="b")
    held = [one for _ in range(6) for one in await gates.pass_gates(worker)]
    assert len(held) == 2
    await gates.finish(worker, held[:1], "1")
    await gates.connection.execute("vacuum analyze")
    rows = await read_by(gates, worker, [held[0].job])
    assert all(count < 60 for count in rows.values()), rows


async def test_thousands_of_jobs_in_a_queue_at_its_limit_are_not_read(gates: GatedDatabase) -> None:
    worker = await gates.start_worker()
    await gates.submit(MANY)
    await gates.limit_queue(2)
    held = await gates.pass_gates(worker)
    assert len(held) == 2
    await gates.finish(worker, held[:1], "1")
    await gates.connection.execute("vacuum analyze")
    rows = await read_by(gates, worker, [held[0].job])
    assert all(count < 60 for count in rows.values()), rows


async def test_one_claim_puts_aside_what_it_has_time_for_and_rings_for_the_rest(
    gates: GatedDatabase,
) -> None:
    worker = await gates.start_worker()
    await gates.add(MANY, key="a")
    rung: list[object] = []
    await gates.connection.add_listener("headrace_jobs", lambda *heard: rung.append(heard))
    assert len(await gates.pass_gates(worker)) == 1
    assert 0 < await blocked(gates) < MANY - 1
    while rung:
        rung.clear()
        assert await gates.pass_gates(worker) == []
    assert await blocked(gates) == MANY - 1


async def test_only_the_first_of_an_ordering_key_is_looked_for(gates: GatedDatabase) -> None:
    worker = await gates.start_worker()
    await gates.add(MANY, order="a")
    await gates.connection.execute("vacuum analyze")
    before = await entries_read(gates)
    assert len(await gates.pass_gates(worker)) == 1
    # Each job that is kept out finds that one before it.
    assert await entries_read(gates) - before < 3 * MANY


async def blocked(gates: GatedDatabase) -> int:
    count: int = await gates.connection.fetchval("select count(*) from headrace.blocked")
    return count


async def entries_read(gates: GatedDatabase) -> int:
    """How many entries of the index of ordering keys were read so far."""
    await gates.connection.execute("select pg_stat_force_next_flush()")
    count: int = await gates.connection.fetchval(
        "select pg_stat_get_tuples_returned('headrace.ordered_pkey'::regclass)"
    )
    return count
