"""For how long events are kept that left, and those that could not."""

from __future__ import annotations

from datetime import timedelta

import pytest

from headrace.store.erasure import erase_job
from headrace.store.operations import cancel_job
from headrace.store.outbox import set_topic
from headrace.store.retention import RetentionPass, RetentionRules
from tests.engine_rows import Rows
from tests.outbox.rows import fail_in_a_step, fill, finished, kinds_of, subscribe

pytestmark = pytest.mark.asyncio(loop_scope="module")

RULES = RetentionRules(jobs=timedelta(days=30), checkpoints=timedelta(days=7))


async def prune(rows: Rows) -> RetentionPass:
    walk = RetentionPass(RULES)
    while await walk.advance(rows.connection):
        pass
    return walk


async def mark(rows: Rows, what: str) -> None:
    await rows.connection.execute(f"update headrace.outbox set {what} = headrace.now()")  # noqa: S608


class TestPruning:
    @pytest.mark.parametrize(("end", "days"), [("sent_at", 7), ("given_up_at", 30)])
    async def test_what_ended_is_kept_for_some_days(self, rows: Rows, end: str, days: int) -> None:
        await fill(rows, await subscribe(rows), 3)
        await mark(rows, end)
        await rows.wait(timedelta(days=days) - timedelta(minutes=1))
        assert (await prune(rows)).removed == 0
        await rows.wait(timedelta(minutes=2))
        assert (await prune(rows)).events == 3

    async def test_what_waits_is_kept_and_what_is_behind_it_is_found(self, rows: Rows) -> None:
        await fill(rows, await subscribe(rows), 1_200)
        await rows.connection.execute(
            "update headrace.outbox set sent_at = headrace.now() where id in"
            " (select id from headrace.outbox order by id desc limit 100)"
        )
        await rows.wait(timedelta(days=8))
        assert (await prune(rows)).events == 100
        assert await rows.count("outbox") == 1_100

    async def test_a_job_takes_its_webhook_and_what_was_sent_with_it(self, rows: Rows) -> None:
        job = await fail_in_a_step(rows)
        await set_topic(rows.connection, "results", "results")
        await subscribe(rows, job=job)
        kept = await subscribe(rows)
        (other,) = await finished(rows)
        await mark(rows, "sent_at")
        await rows.connection.execute(
            "insert into headrace.outbox (topic, endpoint, kind, payload, tenant, job)"
            " values ('results', 'results', 'result', '{}', 'tenant', $1)",
            other,
        )
        await rows.wait(timedelta(days=31))
        await prune(rows)
        left = await rows.connection.fetch("select topic, sent_at from headrace.outbox")
        assert [(row["topic"], row["sent_at"]) for row in left] == [("results", None)]
        hooks = await rows.connection.fetch("select id from headrace.webhooks")
        assert [row["id"] for row in hooks] == [kept]


class TestErasure:
    async def test_what_still_leaves_says_no_more_than_that_it_happened(self, rows: Rows) -> None:
        await subscribe(rows)
        await set_topic(rows.connection, "dead-letters", "dead")
        (claim,) = await rows.claimed()
        await rows.connection.execute(
            """update headrace.jobs set metadata = '"CANARY"' where id = $1""", claim["id"]
        )
        await rows.end(claim, "failed")
        await rows.connection.execute(
            "update headrace.outbox"
            " set payload = replace(payload::text, '\"x\"', '\"CANARY\"')::json"
        )
        assert await spoken(rows) == [True, True]
        before = await rows.count("outbox")
        await erase_job(rows.connection, claim["id"])
        assert await spoken(rows) == [False, False]
        assert await rows.count("outbox") == before

    async def test_it_tells_nothing_anew(self, rows: Rows) -> None:
        await subscribe(rows)
        (job,) = await rows.submit()
        await cancel_job(rows.connection, job, by="somebody", reason="history with words")
        await erase_job(rows.connection, job)
        assert await kinds_of(rows) == ["job.cancelled"]


async def spoken(rows: Rows) -> list[bool]:
    found = await rows.connection.fetch(
        "select payload::text like '%CANARY%' as told from headrace.outbox order by id"
    )
    return [row["told"] for row in found]
