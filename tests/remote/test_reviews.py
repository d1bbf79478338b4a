"""Reviewed ideas at a remote API: from Python, and on the command line."""

import re
from collections.abc import AsyncIterator

import pytest

from headrace import ConflictError, InvalidError, NotFoundError, RemoteClient
from headrace.pipelines.consensus import consensus
from headrace.testing import Engine
from tests.remote.test_commands import Desk
from tests.web.followed import QUICK
from tests.web.serving import SETTINGS, Api, serve, who

IDEA = {"idea": "A clinic sends patients their diagnosis."}


@pytest.fixture
async def clinic(database_server: str) -> AsyncIterator[Api]:
    """An API that carries the pipeline."""
    engine = Engine([consensus], server=database_server, settings=SETTINGS)
    async with engine, serve(engine, pace=QUICK) as running:
        yield running


class TestReviews:
    async def test_a_job_is_revised_and_compared(self, clinic: Api) -> None:
        async with RemoteClient(clinic.url, token=await clinic.key(who())) as client:
            parent = await client.submit("consensus", IDEA)
            with pytest.raises(ConflictError):
                await client.reviews.revise(parent.id, edit_notes="Later.")
            await clinic.engine.run_until_empty(30)
            edit = {"title": "A hint"}
            revised = await client.reviews.revise(parent.id, edited_proposal=edit, personas=[])
            assert revised.parent_job_id == parent.id
            assert revised.personas_rerun == []
            assert len(revised.personas_reused) == 5
            await clinic.engine.run_until_empty(30)
            found = await client.reviews.diff(parent.id, revised.job_id)
            assert found["relationship"] == "child"
            assert found["sections"][0]["change"] == "modified"
            with pytest.raises(InvalidError):
                await client.reviews.revise(parent.id)
            with pytest.raises(InvalidError):
                await client.reviews.diff(parent.id, parent.id)
            nobody = "01890000-0000-7000-8000-000000000000"
            with pytest.raises(NotFoundError):
                await client.reviews.revise(nobody, edit_notes="x")
            with pytest.raises(NotFoundError):
                await client.reviews.diff(parent.id, nobody)


class TestCommands:
    async def test_they_say_what_they_say_on_the_database(self, clinic: Api) -> None:
        token = await clinic.key(who())
        desk = Desk({"HEADRACE_API_URL": clinic.url, "HEADRACE_API_TOKEN": token})
        async with clinic.engine.worker():
            first = await desk.run("run", "consensus", "--input", IDEA["idea"])
            assert first.code == 0, first.err
            assert first.out.startswith("REVISE  0.8000")
            parent = re.search(r"job (\S+) completed", first.err)
            assert parent is not None
            second = await desk.run("consensus", "revise", parent[1], "--notes", "x", "--nobody")
            assert second.code == 0, second.err
            assert "headrace: nobody will review again" in second.err
            assert second.out.count("(of the job before)") == 5
        child = re.search(r"job (\S+) completed", second.err)
        assert child is not None
        compared = await desk.run("consensus", "diff", child[1], parent[1])
        assert f"{parent[1]} is the parent of {child[1]}" in compared.out
        refused = await desk.run("consensus", "diff", child[1], parent[1], "--tenant", "other")
        assert refused.code != 0
