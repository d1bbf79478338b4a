"""Values that a client sends to jobs which wait for them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from headrace import RemoteClient, RemoteJob
from headrace.errors import (
    InputError,
    JobFinishedError,
    JobNotFoundError,
    SignalNotFoundError,
)
from headrace.model.fate import Fate
from headrace.testing import Engine
from tests.waiting import eventually
from tests.waits.pipes import PIPELINES, Approval, order, shipping
from tests.web.serving import SETTINGS, Api, serve, who


@pytest.fixture
async def api(database_server: str) -> AsyncIterator[Api]:
    """An API of pipelines that wait."""
    engine = Engine(PIPELINES, server=database_server, settings=SETTINGS)
    async with engine, serve(engine) as running:
        yield running


@pytest.fixture
async def client(api: Api) -> AsyncIterator[RemoteClient]:
    """The usual user's client."""
    async with RemoteClient(api.url, token=await api.key(who())) as opened:
        yield opened


async def waiting(client: RemoteClient) -> RemoteJob[str]:
    """An order that waits for its approval."""
    job = await client.submit(order, "lamp")

    async def waits() -> bool:
        return bool((await job.status()).waits)

    await eventually(waits)
    return job


class TestSending:
    async def test_it_wakes_the_job_and_is_shown(self, api: Api, client: RemoteClient):
        async with api.engine.worker():
            job = await waiting(client)
            [wait] = (await job.status()).waits
            assert (wait.step, wait.kind, wait.name) == ("approve", "signal", "approval")
            assert await job.send("approval", Approval(ok=True, note="fine"))

            async def has_child() -> bool:
                return any(wait.kind == "child" for wait in (await job.status()).waits)

            await eventually(has_child)
            async for event in job.events():
                if event.name == "signal":
                    break
            status = await job.status()
            [wait], [child], [signal] = status.waits, status.children, status.signals
            assert (wait.name, wait.pipeline) == (child.id, "shipping")
            assert (signal.name, signal.state) == ("approval", "received")
            assert str(signal.by).startswith("key:")
            told = (event.data["name"], event.data["state"], event.data["by"])
            assert told == (signal.name, signal.state, signal.by)

    async def test_the_first_value_stands_whatever_comes_later(self, client: RemoteClient):
        job = await client.submit(order, "lamp")
        fates = [
            await client.send_signal(job.id, "approval", value)
            for value in ({"ok": True}, Approval(ok=True), {"ok": False})
        ]
        assert fates == [Fate.STORED, Fate.SAME, Fate.OTHER]
        assert not await job.send("approval", Approval(ok=False))

    async def test_what_can_be_sent_is_listed_with_its_schema(self, client: RemoteClient):
        job = await client.submit(order, "lamp")
        [known] = await client.list_signals(job.id)
        assert (known.signal, known.state, known.value) == ("approval", "open", None)
        assert known.value_schema is not None
        assert known.value_schema["required"] == ["ok"]
        await job.send("approval", {"ok": True})
        [known] = await client.list_signals(job.id)
        assert (known.state, known.value) == ("received", {"ok": True, "note": ""})


class TestWhatIsRefused:
    async def test_an_unknown_name_lists_those_that_are_known(self, client: RemoteClient):
        job = await client.submit(order, "lamp")
        with pytest.raises(SignalNotFoundError) as caught:
            await job.send("aproval", 1)
        assert caught.value.known == ("approval",)

    async def test_a_wrong_value_names_its_place(self, client: RemoteClient):
        job = await client.submit(order, "lamp")
        with pytest.raises(InputError) as caught:
            await job.send("approval", {"ok": "perhaps"})
        assert [problem.path for problem in caught.value.problems] == ["$.ok"]
        with pytest.raises(InputError, match="approval"):
            await job.send("approval", object())

    async def test_a_job_that_has_ended_takes_none(self, api: Api, client: RemoteClient):
        job = await client.submit(shipping, "lamp")
        await job.send("shelf", 7)
        other = await client.submit(shipping, "lamp")

        async def waits() -> bool:
            return bool((await other.status()).waits)

        async with api.engine.worker():
            await eventually(waits)
            await job.wait(timeout=20)
        await other.cancel()
        for one, state in ((job, "received"), (other, "open")):
            [known] = await client.list_signals(one.id)
            assert (known.state, known.awaited) == (state, ())
        assert await job.send("shelf", 7)
        with pytest.raises(JobFinishedError, match=other.id):
            await other.send("shelf", 7)

    async def test_somebody_elses_job_is_none(self, api: Api, client: RemoteClient):
        job = await api.engine.submit(order, "lamp", tenant="acme", owner="bob")
        with pytest.raises(JobNotFoundError):
            await client.send(job.id, "approval", {"ok": True})
        with pytest.raises(JobNotFoundError):
            await client.list_signals(job.id)
