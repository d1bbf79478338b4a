"""What a scheduler has done: POST /tasks/..., and who may call it."""

import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from headrace.store.audit import Action, list_actions, record_action
from headrace.testing import Engine
from headrace.web.auth.identity import Scope
from tests.egress.receiver import Receiver, receiving
from tests.web.hooking import ADMIN, SIGNING, made, opened
from tests.web.issuer import local_issuer
from tests.web.pipes import PIPELINES, double
from tests.web.serving import SETTINGS, Api, serve, who

OPERATOR = who("ops", "olga", Scope.OPERATOR)
TASKS = ("sweep", "relay", "cleanup", "drain-once")
ROBOT = "scheduler@project.iam.gserviceaccount.com"
AUDIENCE = "https://headrace.example.com"


@pytest.fixture
async def api(database_server: str) -> AsyncIterator[Api]:
    """An API that signs webhooks."""
    engine = Engine(PIPELINES, server=database_server, settings=SIGNING)
    async with engine, serve(engine) as running:
        yield running


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


async def do(api: Api, task: str) -> dict[str, object]:
    answer = await (await api.client(OPERATOR)).post(f"/tasks/{task}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


class TestDrainOnce:
    async def test_what_is_due_is_run_here(self, api: Api):
        jobs = [await api.engine.submit(double, number) for number in range(3)]
        later = await api.engine.submit(double, 4, due=timedelta(hours=1))
        assert await do(api, "drain-once") == {
            "completed": 3, "failed": 0, "cancelled": 0, "released": 0, "complete": True,
        }  # fmt: skip
        assert [await job.result() for job in jobs] == [0, 2, 4]
        assert (await later.status()).state == "queued"

    async def test_nothing_to_do_is_told(self, api: Api):
        done = await do(api, "drain-once")
        assert (done["completed"], done["complete"]) == (0, True)


class TestCleanup:
    async def test_what_is_old_is_deleted_whosever_turn_it_is(self, api: Api):
        job = await api.engine.submit(double, 1)
        await api.engine.run_until_empty()
        async with api.engine.connection() as connection:
            await record_action(connection, Action("root", "queue.pause", "default"))
        await do(api, "sweep")  # the round of this hour
        assert await do(api, "cleanup") == {"removed": 0, "complete": True}
        await api.engine.move_clock(timedelta(days=401))
        done = await do(api, "cleanup")
        assert done["complete"] is True
        async with api.engine.connection() as connection:
            assert await list_actions(connection) == []
            assert await connection.fetchval("select count(*) from headrace.jobs") == 0
        assert job.id


class TestRelay:
    async def test_events_leave_without_a_worker(self, api: Api, receiver: Receiver):
        client = await api.client(ADMIN)
        secret = (await made(client, receiver))["secret"]
        job = await api.engine.submit(double, 1, tenant="acme", owner="ann")
        await api.engine.app.cancel(job.id)
        assert await do(api, "relay") == {
            "sent": 1, "retried": 0, "given_up": 0, "complete": True,
        }  # fmt: skip
        [got] = receiver.got
        assert opened(got, [secret])["type"] == "job.cancelled"
        assert (await do(api, "relay"))["sent"] == 0


class TestWhoMay:
    async def test_others_are_refused(self, api: Api):
        user = await api.client(who("acme", "ann", Scope.JOBS_WRITE, Scope.TENANT_ADMIN))
        for task in TASKS:
            assert (await user.post(f"/tasks/{task}")).status_code == 403
            assert (await (await api.stranger()).post(f"/tasks/{task}")).status_code == 401

    async def test_the_service_account_of_the_settings_may(self, database_server: str):
        async with scheduled(database_server) as (api, token):
            for task in ("sweep", "relay"):
                robot = await api.bearer(token())
                assert (await robot.post(f"/tasks/{task}")).status_code == 200

    @pytest.mark.parametrize(
        "claims",
        [
            {"email": "other@project.iam.gserviceaccount.com"},
            {"email": None},
            {"email_verified": False},
            {"email_verified": None},
            {"email_verified": "true"},
            {"aud": "https://other.example.com"},
            {"exp": 1},
        ],
    )
    async def test_a_token_that_differs_in_anything_does_not(
        self, database_server: str, claims: dict[str, object]
    ):
        async with scheduled(database_server) as (api, token):
            answer = await (await api.bearer(token(**claims))).post("/tasks/relay")
            assert (answer.status_code, answer.json()["code"]) == (401, "AUTH_REQUIRED")

    async def test_it_opens_nothing_else(self, database_server: str):
        async with scheduled(database_server) as (api, token):
            robot = await api.bearer(token())
            for path in ("/v1/jobs", "/stats"):
                assert (await robot.get(path)).status_code == 401


@contextlib.asynccontextmanager
async def scheduled(server: str) -> AsyncIterator[tuple[Api, object]]:
    """An API that knows the account of a scheduler, and what makes its tokens."""
    async with local_issuer("RS256") as issuer:
        changed = {
            "tasks_service_account": ROBOT,
            "tasks_audience": AUDIENCE,
            "tasks_issuer": issuer.url,
        }
        engine = Engine(PIPELINES, server=server, settings=SETTINGS.model_copy(update=changed))

        def token(**claims: object) -> str:
            usual = {"aud": AUDIENCE, "email": ROBOT, "email_verified": True, "scope": None}
            return issuer.token(**{**usual, "tenant": None, **claims})

        async with engine, serve(engine) as api:
            yield api, token
