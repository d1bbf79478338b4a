import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from headrace import Headrace
from headrace.errors import (
    IdempotencyKeyReusedError,
    InputError,
    JobNotFoundError,
    OptionError,
    PipelineNotFoundError,
    PresetNotFoundError,
)
from tests.client.pipes import Idea, decide, urgent
from tests.engine_rows import Rows
from tests.waiting import eventually

IDEA = Idea("a mill")


class TestSubmit:
    async def test_a_job_is_queued_with_its_history_and_its_place(
        self, app: Headrace, rows: Rows
    ) -> None:
        handle = await app.submit(decide, IDEA)
        job = await rows.job(UUID(handle.id))
        assert (job["state"], job["wait_reason"], job["run"], job["priority"]) == (
            "queued", "new", 1, 5,
        )  # fmt: skip
        assert json.loads(job["input"]) == {"title": "a mill", "size": 1}
        assert await rows.history(UUID(handle.id)) == ["submitted"]
        [claim] = await rows.claim(await rows.worker())
        assert str(claim["id"]) == handle.id

    async def test_a_name_submits_as_the_pipeline_itself_does(self, app: Headrace) -> None:
        handle = await app.submit("urgent", 7)
        status = await handle.status()
        assert (status.pipeline, status.queue) == ("urgent", "urgent")

    @pytest.mark.parametrize(
        ("value", "path"),
        [(Idea(3), "$.title"), (Idea("x", size="no"), "$.size"), ("a mill", "$")],  # type: ignore[arg-type]
    )
    async def test_an_input_that_does_not_fit_names_its_field_and_stores_nothing(
        self, app: Headrace, rows: Rows, value: object, path: str
    ) -> None:
        with pytest.raises(InputError) as raised:
            await app.submit("decide", value)
        assert raised.value.problems[0].path == path
        assert await rows.count("jobs") == 0

    async def test_an_input_over_the_limit_is_refused(self, app: Headrace, rows: Rows) -> None:
        with pytest.raises(InputError, match="at most 524,288"):
            await app.submit(decide, Idea("x" * 600_000))
        await app.submit(decide, Idea("x" * 500_000))
        assert await rows.count("jobs") == 1

    async def test_names_that_do_not_exist_are_refused(self, app: Headrace, rows: Rows) -> None:
        with pytest.raises(PipelineNotFoundError, match="did you mean 'decide'"):
            await app.submit("decid", IDEA)
        with pytest.raises(PresetNotFoundError, match="did you mean 'quick'"):
            await app.submit(decide, IDEA, preset="quik")
        with pytest.raises(OptionError, match="no such option"):
            await app.submit(decide, IDEA, prio=3)  # type: ignore[call-overload]
        with pytest.raises(JobNotFoundError):
            await app.submit(decide, IDEA, parent="nonsense")
        assert await rows.count("jobs") == 0

    async def test_priorities_are_words_or_numbers(self, app: Headrace, rows: Rows) -> None:
        words: dict[Any, int] = {"low": 1, "normal": 5, "high": 9, 0: 0, 9: 9}
        for given, stored in words.items():
            handle = await app.submit(decide, IDEA, priority=given)
            job = await rows.job(UUID(handle.id))
            assert job["priority"] == stored
            assert job["due_at"] - job["rank"] == timedelta(minutes=stored)

    async def test_other_priorities_are_refused(self, app: Headrace) -> None:
        others: list[Any] = ["urgent", 10, -1, True, 1.5, None]
        for given in others:
            with pytest.raises(OptionError, match="priority"):
                await app.submit(decide, IDEA, priority=given)

    async def test_what_comes_with_a_job_is_stored_as_given(self, app: Headrace) -> None:
        parent = await app.submit(decide, IDEA)
        handle = await app.submit(
            decide,
            IDEA,
            tenant="mill",
            owner="ann",
            preset="quick",
            parameters={"personas": 3},
            metadata={"state": "completed", "nested": [1, {"a": None}]},
            correlation_id="order-7",
            parent=parent.id,
            actor="ann",
        )
        status = await handle.status()
        assert (status.tenant, status.owner, status.preset) == ("mill", "ann", "quick")
        assert status.state == "queued"
        assert status.parameters == {"personas": 3}
        assert status.metadata == {"state": "completed", "nested": [1, {"a": None}]}
        assert (status.correlation_id, status.parent_job) == ("order-7", parent.id)
        [entry] = await app.history(handle.id)
        assert (entry.reason, entry.actor) == ("submitted", "ann")

    async def test_metadata_that_json_would_change_is_refused(self, app: Headrace) -> None:
        changed: list[Any] = [{"at": datetime.now(UTC)}, {"x": float("nan")}, {1: "a"}, {"t": (1,)}]
        for metadata in changed:
            with pytest.raises(OptionError, match="metadata"):
                await app.submit(decide, IDEA, metadata=metadata)

    async def test_names_that_cannot_be_stored_are_refused(self, app: Headrace) -> None:
        for name in ("", "x" * 201, "a\x00b", "\ud800"):
            with pytest.raises(OptionError, match="tenant"):
                await app.submit(decide, IDEA, tenant=name)


class TestDue:
    async def test_a_job_that_is_due_later_is_scheduled(self, app: Headrace, rows: Rows) -> None:
        handle = await app.submit(decide, IDEA, due=timedelta(hours=1))
        assert (await handle.status()).wait_reason == "scheduled"
        worker = await rows.worker()
        assert not await rows.claim(worker)
        await rows.wait(timedelta(minutes=61))
        assert len(await rows.claim(worker)) == 1

    async def test_durations_count_from_the_engines_clock(self, app: Headrace, rows: Rows) -> None:
        await rows.wait(timedelta(days=100))
        handle = await app.submit(decide, IDEA, due=timedelta(hours=1), deadline=timedelta(hours=2))
        job = await rows.job(UUID(handle.id))
        expected = datetime.now(UTC) + timedelta(days=100, hours=1)
        assert abs(job["due_at"] - expected) < timedelta(minutes=1)
        assert job["deadline"] - job["due_at"] == timedelta(hours=1)

    async def test_a_past_time_is_now(self, app: Headrace, rows: Rows) -> None:
        await app.submit(decide, IDEA, due=datetime.now(UTC) - timedelta(days=3))
        assert len(await rows.claim(await rows.worker())) == 1

    async def test_other_times_are_refused(self, app: Headrace) -> None:
        others: list[Any] = [
            timedelta(days=366),
            datetime.now(UTC) + timedelta(days=366),
            datetime(2026, 1, 1),  # noqa: DTZ001 - that is the point
            "tomorrow",
        ]
        for due in others:
            with pytest.raises(OptionError, match="due"):
                await app.submit(decide, IDEA, due=due)


class TestIdempotencyKey:
    async def test_the_same_input_is_the_same_job(self, app: Headrace, rows: Rows) -> None:
        first = await app.submit(decide, IDEA, idempotency_key="k")
        again = await app.submit(decide, Idea("a mill"), idempotency_key="k", priority="high")
        assert first == again
        assert await rows.count("jobs") == 1

    async def test_another_input_is_refused(self, app: Headrace, rows: Rows) -> None:
        await app.submit(decide, IDEA, idempotency_key="k")
        with pytest.raises(IdempotencyKeyReusedError, match="'k'"):
            await app.submit(decide, Idea("a dam"), idempotency_key="k")
        with pytest.raises(IdempotencyKeyReusedError):
            await app.submit(urgent, 1, idempotency_key="k")
        assert await rows.count("jobs") == 1

    async def test_keys_belong_to_a_tenant_and_owner(self, app: Headrace, rows: Rows) -> None:
        for tenant, owner in (("a", "x"), ("a", "y"), ("b", "x")):
            await app.submit(decide, IDEA, idempotency_key="k", tenant=tenant, owner=owner)
        assert await rows.count("jobs") == 3

    async def test_an_input_stored_by_older_code_is_compared_by_meaning(
        self, app: Headrace, rows: Rows
    ) -> None:
        handle = await app.submit(decide, IDEA, idempotency_key="k")
        await rows.connection.execute(
            'update headrace.jobs set input = \'{"title": "a mill"}\' where id = $1',
            UUID(handle.id),
        )
        assert await app.submit(decide, IDEA, idempotency_key="k") == handle

    async def test_many_at_the_same_time_store_one_job(self, app: Headrace, rows: Rows) -> None:
        handles = await asyncio.gather(
            *(app.submit(decide, IDEA, idempotency_key="k") for _ in range(40))
        )
        assert len({handle.id for handle in handles}) == 1
        assert await rows.count("jobs") == await rows.count("queued") == 1

    async def test_a_key_whose_transaction_is_rolled_back_is_free_again(
        self, app: Headrace, rows: Rows
    ) -> None:
        transaction = rows.connection.transaction()
        await transaction.start()
        lost = await app.submit(decide, IDEA, idempotency_key="k", connection=rows.connection)
        waiting = asyncio.create_task(app.submit(decide, IDEA, idempotency_key="k"))
        await eventually(lambda: _waits_for_a_lock(app))
        await transaction.rollback()
        kept = await waiting
        assert kept != lost
        assert (await kept.status()).state == "queued"
        with pytest.raises(JobNotFoundError):
            await lost.status()


async def _waits_for_a_lock(app: Headrace) -> bool:
    async with app._connections.use() as connection:
        found = await connection.fetchval(
            "select count(*) from pg_locks where not granted and pid in (select pid from"
            " pg_stat_activity where datname = current_database())"
        )
    return bool(found)


class TestSubmitMany:
    @pytest.mark.parametrize("count", [1, 250, 251, 700])
    async def test_handles_come_in_the_order_of_the_inputs(
        self, app: Headrace, rows: Rows, count: int
    ) -> None:
        handles = await app.submit_many(decide, (Idea("x", size) for size in range(count)))
        stored = await rows.connection.fetch(
            "select input ->> 'size' from headrace.jobs order by id"
        )
        assert [int(row[0]) for row in stored] == list(range(count))
        assert [handle.id for handle in handles] == sorted(handle.id for handle in handles)
        assert await rows.count("queued") == await rows.count("job_events") == count

    async def test_no_inputs_store_nothing(self, app: Headrace, rows: Rows) -> None:
        assert await app.submit_many(decide, []) == []
        assert await app.submit_many(decide, [], idempotency_keys=[]) == []
        assert await rows.count("jobs") == 0

    @pytest.mark.parametrize("count", [10, 600])
    async def test_one_that_does_not_fit_stores_none(
        self, app: Headrace, rows: Rows, count: int
    ) -> None:
        inputs = [*(Idea("x", size) for size in range(count)), Idea(1)]  # type: ignore[arg-type]
        with pytest.raises(InputError) as raised:
            await app.submit_many(decide, inputs)
        assert raised.value.problems[0].path == f"$[{count}].title"
        assert await rows.count("jobs") == 0
        await app.submit(decide, IDEA)  # the connection is still of use
        assert await rows.count("jobs") == 1

    async def test_a_key_that_comes_twice_is_one_job(self, app: Headrace, rows: Rows) -> None:
        before = await app.submit(decide, IDEA, idempotency_key="a")
        handles = await app.submit_many(
            decide, [IDEA, Idea("dam"), IDEA, Idea("dam")], idempotency_keys=["a", "b", "a", "b"]
        )
        assert handles[0] == handles[2] == before
        assert handles[1] == handles[3]
        assert await rows.count("jobs") == 2

    async def test_a_key_used_for_two_inputs_stores_none(self, app: Headrace, rows: Rows) -> None:
        with pytest.raises(IdempotencyKeyReusedError):
            await app.submit_many(decide, [IDEA, Idea("dam")], idempotency_keys=["a", "a"])
        await app.submit(decide, IDEA, idempotency_key="z")
        with pytest.raises(IdempotencyKeyReusedError):
            await app.submit_many(decide, [IDEA, Idea("dam")], idempotency_keys=["a", "z"])
        assert await rows.count("jobs") == 1

    async def test_keys_must_be_as_many_as_inputs(self, app: Headrace) -> None:
        with pytest.raises(OptionError, match="2 keys for 1 inputs"):
            await app.submit_many(decide, [IDEA], idempotency_keys=["a", "b"])
