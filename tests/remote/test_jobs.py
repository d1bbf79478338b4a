"""What a client does with jobs."""

from datetime import UTC, datetime, timedelta

import pytest

from headrace import (
    ConflictError,
    NotFoundError,
    Pipeline,
    RemoteClient,
)
from headrace.errors import (
    CodecError,
    IdempotencyKeyReusedError,
    InputError,
    JobCancelledError,
    JobFailedError,
    JobNotFoundError,
    NotCompletedError,
    OptionError,
    PipelineNotFoundError,
    TransitionError,
)
from headrace.remote import AuthRequiredError, ForbiddenError, RemoteJob
from headrace.web.auth.identity import Scope
from tests.web.pipes import Decision, Idea, decide, double
from tests.web.serving import Api, who

NOBODY = "0190b6d6-2c8f-7000-8000-000000000000"


async def states_of(api: Api) -> list[str]:
    return [str(job.state) for job in (await api.engine.app.list_jobs()).items]


class TestResults:
    async def test_they_have_the_type_of_the_pipeline(self, api: Api, client: RemoteClient):
        async with api.engine.worker():
            job = await client.submit(decide, Idea("bridge", 2))
            assert await job.result(timeout=20) == Decision(ok=True, title="bridge")

    async def test_types_are_known_without_the_steps(self, api: Api, client: RemoteClient):
        known = Pipeline("decide", input=Idea, output=Decision)
        async with api.engine.worker():
            job = await client.submit(known, Idea("bridge"))
            assert await job.result(timeout=20) == Decision(ok=True, title="bridge")

    async def test_a_name_gives_json_or_the_type_that_is_named(
        self, api: Api, client: RemoteClient
    ):
        async with api.engine.worker():
            job = await client.submit("decide", {"title": "bridge"})
            assert await job.result(timeout=20) == {"ok": True, "title": "bridge"}
        assert await client.job(job.id, Decision).result() == Decision(ok=True, title="bridge")
        assert await client.job(job.id, decide).result() == Decision(ok=True, title="bridge")
        with pytest.raises(CodecError, match="not a int"):
            await client.job(job.id, int).result()

    async def test_they_can_be_asked_for_now_and_then_instead(self, api: Api, client: RemoteClient):
        job = await client.submit(double, 4)
        await api.engine.run_until_empty()
        assert await job.result(timeout=20, live=False) == 8
        assert (await job.wait(live=False)).progress == 1

    async def test_a_failed_job_raises_its_cause_and_what_may_be_shown(
        self, api: Api, client: RemoteClient
    ):
        jobs = [await client.submit("fragile", word) for word in ("user", "secret")]
        await api.engine.run_until_empty()
        with pytest.raises(JobFailedError, match="the file is empty") as failed:
            await jobs[0].result()
        assert failed.value.cause == "permanent_error"
        with pytest.raises(JobFailedError, match="its operators can read why"):
            await jobs[1].result()
        assert (await jobs[0].wait()).state == "failed"

    async def test_a_cancelled_job_raises_that(self, client: RemoteClient):
        job = await client.submit(double, 1)
        assert await job.cancel("not needed") == "cancelled"
        assert (await job.status()).cancel_reason == "not needed"
        with pytest.raises(JobCancelledError):
            await job.result()

    @pytest.mark.parametrize("live", [True, False])
    async def test_waiting_ends_with_its_time_and_the_job_goes_on(
        self, api: Api, client: RemoteClient, *, live: bool
    ):
        job = await client.submit(double, 1)
        with pytest.raises(TimeoutError):
            await job.result(timeout=0.2, live=live)
        await api.engine.run_until_empty()
        assert await job.result() == 2

    async def test_an_erased_one_is_told_and_not_waited_for(self, api: Api, client: RemoteClient):
        job = await client.submit(double, 1)
        await api.engine.run_until_empty()
        await (await api.client()).delete(f"/v1/jobs/{job.id}")
        with pytest.raises(NotCompletedError, match="erased"):
            await job.result(timeout=5)


class TestSubmitting:
    async def test_a_key_makes_it_the_same_job(self, api: Api, client: RemoteClient):
        first = await client.submit(double, 1, idempotency_key="order 1")
        assert await client.submit(double, 1, idempotency_key="order 1") == first
        with pytest.raises(IdempotencyKeyReusedError, match="order 1"):
            await client.submit(double, 2, idempotency_key="order 1")
        assert await states_of(api) == ["queued"]

    async def test_all_options_arrive(self, client: RemoteClient):
        parent = await client.submit(double, 1)
        job = await client.submit(
            decide,
            Idea("x"),
            priority="high",
            due=timedelta(hours=1),
            deadline=datetime.now(UTC) + timedelta(hours=2),
            preset="quick",
            parameters={"personas": 2},
            metadata={"case": "ä"},
            correlation_id="c1",
            parent=parent.id,
        )
        status = await job.status()
        assert (status.priority, status.preset, status.wait_reason) == (9, "quick", "scheduled")
        assert status.metadata == {"case": "ä"}
        assert status.parameters == {"personas": 2}
        assert (status.correlation_id, status.parent_job) == ("c1", parent.id)
        assert status.due_at is not None
        assert status.deadline is not None
        assert timedelta(minutes=50) < status.deadline - status.due_at < timedelta(minutes=70)

    async def test_what_does_not_fit_names_its_place(self, api: Api, client: RemoteClient):
        with pytest.raises(InputError) as wrong:
            await client.submit("decide", {"title": 1})
        assert [problem.path for problem in wrong.value.problems] == ["$.title"]
        with pytest.raises(InputError, match=r"input of decide: \$"):
            await client.submit("decide", {1, 2})
        with pytest.raises(InputError, match="input of decide"):
            await client.submit(decide, "no idea")  # type: ignore[call-overload]
        assert await states_of(api) == []

    async def test_options_that_are_not_accepted_are_named(self, client: RemoteClient):
        with pytest.raises(OptionError, match="priority"):
            await client.submit(double, 1, priority=12)
        with pytest.raises(OptionError, match="due"):
            await client.submit(double, 1, due=datetime.now())  # noqa: DTZ005 - what is wrong
        with pytest.raises(OptionError, match="tenant"):
            await client.submit(double, 1, tenant="globex")  # type: ignore[call-overload]
        with pytest.raises(OptionError, match="idempotency_key"):
            await client.submit(double, 1, idempotency_key="ä")
        with pytest.raises(OptionError, match="due"):
            await client.submit(double, 1, due=timedelta(days=400))

    async def test_unknown_names_are_told_with_what_was_meant(self, client: RemoteClient):
        with pytest.raises(NotFoundError, match="did you mean 'double'"):
            await client.submit("doubel", 1)
        with pytest.raises(NotFoundError, match="no preset 'slow'"):
            await client.submit("decide", {"title": "x"}, preset="slow")
        with pytest.raises(PipelineNotFoundError):
            await client.describe_pipeline("no/such")

    async def test_an_input_that_is_too_large_is_refused(self, client: RemoteClient):
        with pytest.raises(InputError, match="at most 524,288 can be stored"):
            await client.submit("fragile", "x" * 600_000)


class TestOperating:
    async def test_a_failed_one_is_retried_and_a_completed_one_replayed(
        self, api: Api, client: RemoteClient
    ):
        job = await client.submit(double, 2)
        await api.engine.run_until_empty()
        with pytest.raises(TransitionError) as refused:
            await job.retry("again")
        assert (refused.value.state, refused.value.event) == ("completed", "retried")
        with pytest.raises(OptionError, match="from_step"):
            await job.replay("again")
        assert await job.replay("again", from_step="twice") == 2
        await job.cancel()
        assert await job.retry("once more", force=True) == 3
        entries = [(entry.run, entry.to_state) for entry in await job.history()]
        assert entries[-3:] == [(2, "queued"), (2, "cancelled"), (3, "queued")]

    async def test_a_result_cannot_be_cancelled(self, api: Api, client: RemoteClient):
        job = await client.submit(double, 2)
        await api.engine.run_until_empty()
        with pytest.raises(ConflictError, match="completed cannot be cancelled"):
            await job.cancel()


class TestListings:
    async def test_they_go_through_all_pages(self, api: Api, client: RemoteClient):
        made = await api.engine.submit_many(double, range(205), tenant="acme", owner="ann")
        await api.engine.submit(double, 1, tenant="acme", owner="bob")
        ids = [job.id async for job in client.list_jobs(states=["queued"], pipeline="double")]
        assert ids == [job.id for job in reversed(made)]
        page = await client.list_jobs().page(limit=2)
        rest = await client.list_jobs().page(limit=2, cursor=page.next)
        assert [job.id for job in page.items + rest.items] == ids[:4]
        assert [job.id async for job in client.list_jobs(states=["failed"])] == []

    async def test_what_they_do_not_take_is_named(self, client: RemoteClient):
        for wrong in (
            client.list_jobs().page(limit=101),
            client.list_jobs().page(cursor="nonsense"),
            client.list_jobs(states=["lost"]).page(),
        ):
            with pytest.raises(OptionError, match=r"limit|cursor|state"):
                await wrong
        with pytest.raises(OptionError, match="created_since"):
            client.list_jobs(created_since=datetime(2026, 1, 1))  # noqa: DTZ001 - what is wrong

    async def test_dead_letters_queues_and_pipelines_are_shown(
        self, api: Api, client: RemoteClient
    ):
        job = await client.submit("fragile", "user")
        await api.engine.run_until_empty()
        [letter] = [letter async for letter in client.list_dead_letters(pipeline="fragile")]
        assert (letter.job, letter.step, letter.message) == (job.id, "handle", "the file is empty")
        [queue] = await client.list_queues()
        assert (queue.name, queue.depth, queue.is_paused) == ("default", 0, False)
        assert "decide" in [one.name for one in await client.list_pipelines()]
        shown = await client.describe_pipeline("decide")
        assert [step.name for step in shown.steps] == ["expand", "review", "conclude"]
        assert shown.input_schema is not None


class TestStrangers:
    async def test_another_tenants_job_is_none_whatever_is_asked(
        self, api: Api, client: RemoteClient
    ):
        mine = await client.submit(double, 1)
        async with RemoteClient(api.url, token=await api.key(who("globex", "eve"))) as other:
            job: RemoteJob[int] = other.job(mine.id)
            for question in (
                job.status(),
                job.history(),
                job.wait(timeout=5),
                job.result(timeout=5),
                job.result(timeout=5, live=False),
                job.cancel(),
                job.retry("x"),
                job.replay("x", force=True),
                anext(aiter(job.events())),
            ):
                with pytest.raises(JobNotFoundError, match=mine.id):
                    await question
            assert [one.id async for one in other.list_jobs()] == []
        assert (await mine.status()).state == "queued"

    async def test_an_id_that_is_none_is_not_sent(self, client: RemoteClient):
        for wrong in ("../queues", "", "1", f"{NOBODY}/result"):
            with pytest.raises(JobNotFoundError):
                client.job(wrong)
        with pytest.raises(JobNotFoundError):
            await client.status(NOBODY)

    async def test_without_a_good_token_nothing_is_told(self, api: Api):
        for token in (None, "nonsense"):
            async with RemoteClient(api.url, token=token) as client:
                with pytest.raises(AuthRequiredError):
                    await client.submit(double, 1)
                with pytest.raises(AuthRequiredError):
                    await anext(aiter(client.events(NOBODY)))

    async def test_a_token_without_the_scope_is_forbidden(self, api: Api):
        key = await api.key(who("acme", "ann", Scope.JOBS_READ))
        async with RemoteClient(api.url, token=key) as client:
            with pytest.raises(ForbiddenError):
                await client.submit(double, 1)
            assert (await client.list_jobs().page()).items == []
