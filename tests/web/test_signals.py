"""Values that are sent to jobs by HTTP, and what is told of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx2
import pytest
import pytest_asyncio

from tests.waiting import eventually
from tests.web.asking_people import SECRET, Asked, Desk, Order, desk_of, order
from tests.web.serving import who

together = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(database_server: str) -> AsyncIterator[Desk]:
    async with desk_of(database_server) as made:
        yield made


async def post(desk: Desk, asked: Asked, value: object, **headers: str) -> httpx2.Response:
    client = await desk.api.client()
    path = f"/v1/jobs/{asked.job.id}/signals/approval"
    return await client.post(path, json=value, headers=headers)


async def listed(desk: Desk, job: str) -> list[dict[str, object]]:
    answer = await (await desk.api.client()).get(f"/v1/jobs/{job}/signals")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, object]] = answer.json()
    return found


@together
class TestSendingAValue:
    async def test_the_job_goes_on_with_it(self, desk: Desk):
        asked = await desk.ask()
        answer = await post(desk, asked, {"decision": "approve", "pieces": 3})
        assert answer.status_code == 202
        assert answer.json() == {"job_id": asked.job.id, "signal": "approval"}
        assert await asked.job.result(timeout=20) == "approve 3 "

    async def test_sent_again_it_is_answered_that_it_stands(self, desk: Desk):
        asked = await desk.ask()
        for status in (202, 200, 200):
            answer = await post(desk, asked, {"decision": "approve"})
            assert answer.status_code == status
        # The same value, as its type reads it.
        again = await post(desk, asked, {"comment": "", "pieces": 1, "decision": "approve"})
        assert again.status_code == 200

    async def test_another_one_is_told_that_it_came_too_late(self, desk: Desk):
        asked = await desk.ask()
        await post(desk, asked, {"decision": "approve"})
        answer = await post(desk, asked, {"decision": "reject"})
        assert (answer.status_code, answer.json()["code"]) == (409, "SIGNAL_TAKEN")
        assert await asked.job.result(timeout=20) == "approve 1 "

    async def test_of_many_at_once_one_stands(self, desk: Desk):
        asked = await desk.ask()
        sent = [{"decision": "approve", "pieces": number} for number in range(1, 9)]
        answers = await asyncio.gather(*(post(desk, asked, value) for value in sent))
        statuses = [answer.status_code for answer in answers]
        assert sorted(statuses) == [202, *[409] * 7]
        assert await asked.job.result(timeout=20) == f"approve {statuses.index(202) + 1} "

    async def test_with_a_key_the_first_answer_is_given_again(self, desk: Desk):
        asked = await desk.ask()
        headers = {"Idempotency-Key": f"approve {asked.job.id}"}
        for replay in (None, "true"):
            answer = await post(desk, asked, {"decision": "approve"}, **headers)
            assert answer.status_code == 202
            assert answer.headers.get("Idempotent-Replay") == replay

    async def test_a_value_that_does_not_fit_is_told_where(self, desk: Desk):
        asked = await desk.ask()
        answer = await post(desk, asked, {"decision": "maybe", "pieces": 99})
        body = answer.json()
        assert (answer.status_code, body["code"]) == (422, "SCHEMA_VALIDATION_ERROR")
        assert [error["path"] for error in body["errors"]] == ["$.decision", "$.pieces"]
        assert (await listed(desk, asked.job.id))[0]["state"] == "awaited"

    @pytest.mark.parametrize("value", [None, [], "approve", 7, {}])
    async def test_a_value_of_another_kind_does_not_fit(self, desk: Desk, value: object):
        asked = await desk.ask()
        assert (await post(desk, asked, value)).status_code in {400, 422}

    async def test_a_name_that_nobody_waits_for_is_told_with_those_there_are(self, desk: Desk):
        asked = await desk.ask()
        client = await desk.api.client()
        answer = await client.post(f"/v1/jobs/{asked.job.id}/signals/payment", json=1)
        assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
        assert "approval" in answer.json()["detail"]

    async def test_a_job_that_has_ended_takes_none(self, desk: Desk):
        asked = await desk.ask()
        await asked.job.cancel()
        answer = await post(desk, asked, {"decision": "approve"})
        assert (answer.status_code, answer.json()["code"]) == (409, "JOB_FINISHED")

    async def test_a_value_that_is_larger_than_is_stored_is_refused(self, desk: Desk):
        asked = await desk.ask()
        answer = await post(desk, asked, {"decision": "approve", "comment": "x" * 600_000})
        assert (answer.status_code, answer.json()["code"]) == (422, "SCHEMA_VALIDATION_ERROR")
        assert "at most" in answer.json()["errors"][0]["message"]

    async def test_somebody_elses_job_is_not_there(self, desk: Desk):
        asked = await desk.ask()
        other = await desk.api.client(who("globex", "ann"))
        path = f"/v1/jobs/{asked.job.id}/signals"
        answer = await other.post(f"{path}/approval", json={"decision": "approve"})
        assert answer.status_code == (await other.get(path)).status_code == 404


class TestWhatComesEarlyOrLate:
    async def test_a_value_may_come_before_the_job_has_begun(self, database_server: str):
        async with desk_of(database_server, works=False) as desk:
            job = await desk.api.engine.submit(order, Order(SECRET), tenant="acme", owner="ann")
            [open_one] = await listed(desk, job.id)
            assert (open_one["state"], open_one["awaited"], open_one["value"]) == ("open", [], None)
            answer = await post(desk, Asked(job, ""), {"decision": "reject"})
            assert answer.status_code == 202
            async with desk.api.engine.worker():
                assert await job.result(timeout=20) == "reject 1 "

    async def test_one_that_comes_too_late_is_told_so(self, database_server: str):
        async with desk_of(database_server) as desk:
            asked = await desk.ask()
            await desk.api.engine.move_clock(timedelta(days=4))

            async def failed() -> bool:
                return (await asked.job.status()).state == "failed"

            await eventually(failed)
            answer = await post(desk, asked, {"decision": "approve"})
            assert (answer.status_code, answer.json()["code"]) == (409, "SIGNAL_EXPIRED")
            [late] = await listed(desk, asked.job.id)
            assert (late["state"], late["value"], late["sent_by"]) == ("expired", None, None)
            assert late["received_at"] is not None


@together
class TestListingSignals:
    async def test_it_says_who_waits_since_when_and_until_when(self, desk: Desk):
        asked = await desk.ask()
        [signal] = await listed(desk, asked.job.id)
        assert (signal["signal"], signal["state"]) == ("approval", "awaited")
        [step] = signal["awaited"]  # type: ignore[misc]
        assert (step["step"], step["item"]) == ("decide", None)
        assert step["since"] < step["until"]
        assert signal["value_schema"]["title"] == "Approval"  # type: ignore[index]

    async def test_it_says_what_came_from_whom(self, desk: Desk):
        asked = await desk.ask()
        await post(desk, asked, {"decision": "approve"})
        await asked.job.result(timeout=20)
        [signal] = await listed(desk, asked.job.id)
        assert (signal["state"], signal["awaited"]) == ("received", [])
        assert signal["value"] == {"decision": "approve", "pieces": 1, "comment": ""}
        assert str(signal["sent_by"]).startswith("key:")
        assert signal["received_at"] is not None
