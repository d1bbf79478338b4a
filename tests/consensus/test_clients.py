"""What answers, as the settings name it."""

import pytest

from headrace import JobState
from headrace.pipelines.consensus import IdeaInput, consensus
from headrace.pipelines.consensus.settings import consensus_settings
from headrace.testing import Engine
from tests.consensus.conftest import CLIENT


class TestMisconfigured:
    async def test_a_client_that_cannot_be_opened_fails_the_job_at_its_first_try(
        self, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setenv(CLIENT, "nothing:at_all")
        consensus_settings.cache_clear()
        job = await engine.submit(consensus, IdeaInput(idea="A mill that grinds by night."))
        await engine.run_until_empty()
        row = await engine.job(job)
        assert (row.state, row.cause) == (JobState.FAILED, "permanent_error")
        [tried] = await engine.tries(job)
        assert tried.message.startswith("HEADRACE_CONSENSUS_CLIENT: nothing:at_all: No module")
