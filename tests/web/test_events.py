"""What happens to a job, as a stream of events: in order, without a gap, from any point on."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
import pytest_asyncio

from headrace import Pipeline
from headrace.store.following import Place
from tests.waiting import eventually
from tests.web.followed import (
    LARGE,
    asked,
    fan,
    followed,
    gate,
    held,
    ids,
    shaky,
    submit,
    text,
    told,
    words,
)
from tests.web.serving import Api
from tests.web.sse import Event, follow, hub_of, opened

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(database_server: str) -> AsyncIterator[Api]:
    async with followed(database_server) as api:
        yield api


class TestOrder:
    async def test_a_job_is_told_from_its_submission_to_its_result(self, api: Api):
        _, events = await told(api, fan, 2)
        found = words(events)
        assert found[:4] == ["queued", "running", "plan completed", "square running"]
        assert sorted(found[4:6]) == ["square 0 completed", "square 1 completed"]
        assert found[6:] == ["gather completed", "completed", "completed!"]
        assert ids(events) == ["1", "2", "2.1", "2.2", "2.3", "2.4", "2.5", "3", "3.1"]
        assert events[3].data["items"] == 2
        assert events[-1].data["result"] == [0, 1]

    async def test_a_failed_try_is_told_without_the_words_of_its_error(self, api: Api):
        _, events = await told(api, shaky, 0)
        tries = [event.data for event in events if event.name == "step"][:1]
        assert [(one["state"], one["attempts"]) for one in tries] == [("pending", 1)]
        assert tries[0]["error"]["code"] == "ConnectionError"
        assert tries[0]["next_try_at"] is not None
        assert all("hunter2" not in str(event.data) for event in events)
        assert words(events)[-2:] == ["completed", "completed!"]

    async def test_a_failed_job_ends_with_its_cause(self, api: Api):
        _, events = await told(api, shaky, 1)
        assert words(events)[-3:] == ["attempt failed", "failed", "failed!"]
        end = events[-1].data
        assert end["cause"] == "attempts_exhausted"
        assert end["error"]["step"] == "attempt"
        assert end["result"] is None
        assert all("hunter2" not in str(event.data) for event in events)

    async def test_another_run_goes_on_where_the_first_ended(self, api: Api):
        job, first = await told(api, shaky, 1)
        await api.engine.app.retry(job)
        rest = await follow(await api.client(), job, last=first[-1].id)
        assert words(rest)[0] == "queued"
        assert {event.data["run"] for event in rest} == {2}
        assert words(rest)[-1] == "completed!"
        whole = await follow(await api.client(), job)
        assert whole == first[:-1] + rest, "the result that counts is the last one"

    async def test_outputs_that_a_new_run_takes_over_are_told_with_its_beginning(self, api: Api):
        job, first = await told(api, fan, 3)
        await api.engine.app.replay(job, from_step="gather")
        rest = await follow(await api.client(), job, last=first[-1].id)
        assert words(rest)[0] == "queued"
        taken = [event for event in rest if event.name == "step" and event.data["reused_from"]]
        assert [event.id for event in taken] == [f"4.{n}" for n in range(1, 6)]
        assert words(rest)[-3:] == ["gather completed", "completed", "completed!"]

    async def test_a_large_result_has_to_be_fetched(self, api: Api):
        job, events = await told(api, text, LARGE)
        end = events[-1].data
        assert (end["result"], end["is_complete"]) == (None, False)
        fetched = await (await api.client()).get(end["href"])
        assert fetched.json()["result"] == "ä\n" * LARGE
        _, events = await told(api, text, 3)
        assert events[-1].data["result"] == "ä\n" * 3
        assert job in end["href"]


class TestSignals:
    async def test_one_is_told_when_it_comes_and_again_with_the_run_that_takes_it_over(
        self, api: Api
    ):
        client, job, seen = await api.client(), await submit(api, asked, 1), []
        to_send = ["one", "other"]
        async with opened(client, job) as stream:
            async for event in stream:
                seen.append(event)
                if event.data.get("reason") == "external":
                    await api.engine.app.send(job, to_send.pop(0), 10**12, actor="bob")
        assert words(seen) == [
            *("queued", "running", "ask completed", "answered pending", "answered pending"),
            *("queued", "one received", "running"),
            *("queued", "other received", "running"),
            *("answered completed", "counted completed", "completed", "completed!"),
        ]
        signals = [event for event in seen if event.name == "signal"]
        assert [(event.id, event.data["by"]) for event in signals] == [
            ("3.1", "bob"),
            ("5.1", "bob"),
        ]
        assert all(str(10**12) not in str(event.data) for event in signals)

        await api.engine.app.replay(job, from_step="counted")
        rest = await follow(client, job, last=seen[-1].id)
        again = [event.data for event in rest if event.name == "signal"]
        assert again == [event.data | {"run": 2, "reused_from": 1} for event in signals]
        assert words(rest)[-4:] == ["running", "counted completed", "completed", "completed!"]
        whole = seen[:-1] + rest
        for number, (event, following) in enumerate(pairwise(whole), 1):
            if "signal" in {event.name, following.name}:
                assert await follow(client, job, last=event.id) == whole[number:]


class TestResuming:
    @pytest.mark.parametrize(("pipeline", "given"), [(fan, 4), (shaky, 0), (shaky, 1)])
    async def test_from_each_event_on_comes_exactly_the_rest(
        self, api: Api, pipeline: Pipeline[Any, Any], given: int
    ):
        job, events = await told(api, pipeline, given)
        client = await api.client()
        for number, event in enumerate(events[:-1], 1):
            assert await follow(client, job, last=event.id) == events[number:]

    async def test_who_knows_the_end_is_told_not_to_come_back(self, api: Api):
        job, events = await told(api, fan, 1)
        client = await api.client()
        headers = {"Last-Event-ID": events[-1].id}
        answer = await client.get(f"/v1/jobs/{job}/events", headers=headers)
        assert (answer.status_code, answer.content) == (204, b"")

    async def test_the_header_counts_before_the_parameter(self, api: Api):
        job, events = await told(api, fan, 1)
        client = await api.client()
        path = f"/v1/jobs/{job}/events"
        answer = await client.get(path, params={"after": events[3].id})
        assert answer.text.count("\nevent: ") == len(events) - 4
        answer = await client.get(path, params={"after": "1"}, headers={"Last-Event-ID": "3"})
        assert answer.text.count("\nevent: ") == 1

    @pytest.mark.parametrize(
        "wrong", ["x", "-1", "1.", "1.2.3.4", "9999999999", "\u0661", "1\t", "4", "3.1;", "1e3"]
    )
    async def test_what_is_no_event_of_the_job_is_refused(self, api: Api, wrong: str):
        job, _ = await told(api, fan, 1)
        client = await api.client()
        for accept in ("application/json", "text/event-stream"):
            answer = await client.get(
                f"/v1/jobs/{job}/events", params={"after": wrong}, headers={"Accept": accept}
            )
            assert answer.status_code == 400, (accept, answer.text)
            assert answer.json()["code"] == "VALIDATION_ERROR"

    async def test_no_transition_is_lost_or_doubled_however_often_a_client_comes_back(
        self, api: Api
    ):
        client = await api.client()
        chance = random.Random(4)  # noqa: S311 - the same each time

        async def insist(job: str) -> list[Event]:
            seen: list[Event] = []
            while not seen or seen[-1].name != "result":
                last = seen[-1].id if seen else None
                async with opened(client, job, last=last) as stream:
                    stay = chance.randrange(1, 9)
                    async for event in stream:
                        seen.append(event)
                        stay -= 1
                        if not stay:
                            break
            return seen

        jobs = [await submit(api, fan, size) for size in range(1, 21)]
        jobs += [await submit(api, shaky, good % 3) for good in range(10)]
        for job, seen in zip(jobs, await asyncio.gather(*map(insist, jobs)), strict=True):
            assert seen == await follow(client, job)
            assert len(set(ids(seen))) == len(seen)
            stamps = [Place.parse(event.id) for event in seen]
            assert all(one < next_ for one, next_ in pairwise(stamps))


class TestLive:
    async def test_events_come_while_the_job_runs(self, api: Api):
        client = await api.client()
        job = await submit(api, held, 1)
        async with opened(client, job) as stream:
            seen = []
            async for event in stream:
                seen.append(event)
                if event.word == "early completed":
                    status = await client.get(f"/v1/jobs/{job}")
                    assert status.json()["state"] == "running"
                    gate.of(1).set()
        assert words(seen)[-2:] == ["completed", "completed!"]

    async def test_progress_is_told_as_it_is_and_never_twice(self, api: Api):
        client = await api.client()
        job = await submit(api, held, 2)
        seen: list[Event] = []
        async with opened(client, job) as stream:
            async for event in stream:
                seen.append(event)
                if event.name == "progress" and event.data["done"] == 2:
                    break
        # The step still runs, and says nothing new: its last word is not told again.
        async with opened(client, job, last=seen[-1].id) as stream:
            gate.of(2).set()
            seen += [event async for event in stream]
        noted = [event.data for event in seen if event.name == "progress"]
        assert noted[-1]["note"] == "part 2"
        assert {one["step"] for one in noted} == {"late"}
        times = [one["updated_at"] for one in noted]
        assert times == sorted(set(times))
        assert words(seen)[-3:] == ["late completed", "completed", "completed!"]

    async def test_a_cancelled_job_ends_its_stream(self, api: Api):
        client = await api.client()
        job = await submit(api, held, 3)
        async with opened(client, job) as stream:
            async for event in stream:
                last = event
                if event.word == "running":
                    assert (await client.post(f"/v1/jobs/{job}/cancel", json={})).is_success
        assert (last.name, last.data["state"]) == ("result", "cancelled")

    async def test_a_quiet_stream_shows_that_it_lives(self, api: Api):
        job = await submit(api, fan, 1, due=timedelta(hours=1))
        async with opened(await api.client(), job) as stream:
            lines = stream.answer.aiter_lines()
            comments = 0
            async for line in lines:
                comments += line == ": here"
                if comments == 3:
                    break

    async def test_clients_are_told_how_to_come_back_and_proxies_to_pass_it_on(self, api: Api):
        job, _ = await told(api, fan, 1)
        async with opened(await api.client(), job) as stream:
            assert [event async for event in stream]
            assert stream.retry == 2_000
        headers = stream.answer.headers
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Accel-Buffering"] == "no"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "content-length" not in headers

    async def test_times_are_utc(self, api: Api):
        _, events = await told(api, fan, 1)
        for event in events:
            at = event.data.get("at") or event.data.get("finished_at")
            if at is not None:
                assert at.endswith("Z")
                assert datetime.fromisoformat(at) <= datetime.now(UTC)


async def test_a_restless_reader_of_the_same_job_disturbs_no_other(api: Api):
    client = await api.client()
    job = await submit(api, held, 4)
    async with opened(client, job) as first, opened(client, job) as second:
        hub = hub_of(api)
        await eventually(lambda: hub.streams == 2)
        seen = []
        async for event in first:
            seen.append(event)
            if event.word == "early completed":
                break
        await first.answer.aclose()
        await eventually(lambda: hub.streams == 1)
        gate.of(4).set()
        assert words([event async for event in second])[-1] == "completed!"
    await eventually(lambda: hub.streams == 0)
