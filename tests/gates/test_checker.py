"""I11 and I12 are broken in each way, and the checker has to say so."""

from __future__ import annotations

import pytest

from tests.gates.database import GatedDatabase
from tests.proof.checker import check
from tests.proof.evidence import Expectations, collect

DRAINED = Expectations(drained=True, settled=True)
LONGER = "update headrace.job_events set at = at + interval '1 s' where seq = 3 and job = $1"
"""Its end comes later than the next one's beginning."""


@pytest.fixture
async def done(gates: GatedDatabase) -> GatedDatabase:
    """Three jobs with both keys, which ran one after the other under all limits."""
    await gates.limit_pipeline(1)
    await gates.limit_queue(1)
    await gates.limit_tenant("default", 1)
    jobs = await gates.add(3, order="a", key="b")
    worker = await gates.start_worker()
    for _ in jobs:
        held = await gates.pass_gates(worker)
        await gates.finish(worker, held, "1")
        await gates.settle(held[0].job)
        await gates.run("claims.drop_claims", worker, [held[0].token])
    return gates


async def found(gates: GatedDatabase) -> list[str]:
    violations = check(await collect(gates.connection, DRAINED))
    return [str(violation) for violation in violations if violation.invariant in {"I11", "I12"}]


async def plant(gates: GatedDatabase, sql: str, *arguments: object) -> None:
    """Change rows behind the back of the triggers."""
    await gates.connection.execute("set session_replication_role = replica")
    await gates.connection.execute(sql, *arguments)
    await gates.connection.execute("set session_replication_role = origin")


async def first_of(gates: GatedDatabase) -> object:
    return await gates.connection.fetchval("select id from headrace.jobs order by position limit 1")


async def test_nothing_is_found_where_all_is_in_order(done: GatedDatabase) -> None:
    assert await found(done) == []


async def test_i11_two_ran_at_once_where_one_may(done: GatedDatabase) -> None:
    await plant(done, LONGER, await first_of(done))
    texts = await found(done)
    for scope in ("queue default", "pipeline proof", "tenant default", "key default proof b"):
        assert any(text.startswith(f"I11: 2 jobs of {scope} ran") for text in texts), scope


async def test_i11_a_job_is_left_at_a_gate(done: GatedDatabase) -> None:
    await plant(
        done, "insert into headrace.blocked values ($1, 'key', now())", await first_of(done)
    )
    [text] = await found(done)
    assert text.startswith("I11: a job is kept out although nothing runs")


async def test_i12_a_job_started_before_the_one_before_had_ended(done: GatedDatabase) -> None:
    await plant(done, LONGER, await first_of(done))
    assert any(text.startswith("I12: a job of ('default', 'a')") for text in await found(done))


async def test_i12_jobs_started_in_another_order(done: GatedDatabase) -> None:
    await plant(done, "update headrace.jobs set position = 10 - position")
    assert sum(text.startswith("I12") for text in await found(done)) == 2
