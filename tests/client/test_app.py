import asyncio
import subprocess
import sys

import pytest

from headrace import Headrace, JobState, Pipeline
from headrace.errors import (
    InvalidError,
    OptionError,
    SchemaError,
)
from tests.client.hand import IDEA
from tests.client.pipes import decide
from tests.engine_rows import Rows


class TestApp:
    def test_two_pipelines_of_one_name_are_refused(self) -> None:
        with pytest.raises(InvalidError, match="two pipelines are named decide"):
            Headrace([decide, decide])

    async def test_another_pipeline_of_a_known_name_is_refused(self, app: Headrace) -> None:
        other = Pipeline("decide", input=int, output=int)
        with pytest.raises(OptionError, match="another pipeline"):
            await app.submit(other, 1)

    async def test_a_schema_that_is_missing_is_said_to_be(self, empty_database: str) -> None:
        app = Headrace([decide], database=empty_database)
        with pytest.raises(SchemaError, match="headrace migrate"):
            await app.submit(decide, IDEA)
        assert await app.migrate()
        await app.submit(decide, IDEA)
        await app.close()

    async def test_a_closed_app_leaves_no_connection(self, database: str, rows: Rows) -> None:
        app = Headrace([decide], database=database)
        await app.submit(decide, IDEA)
        await app.close()
        assert (
            await rows.connection.fetchval(
                "select count(*) from pg_stat_activity where application_name = 'headrace client'"
                " and datname = current_database()"
            )
            == 0
        )

    def test_it_opens_again_in_another_event_loop(self, database: str) -> None:
        app = Headrace([decide], database=database)
        for _ in range(2):
            asyncio.run(_submit_and_close(app))

    def test_a_script_may_leave_it_open(self, database: str) -> None:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, database],
            check=True,
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.stdout == "queued\nqueued\n"

    async def test_a_worker_needs_an_open_app(self) -> None:
        with pytest.raises(InvalidError, match="open the app"):
            Headrace([decide]).worker()


async def _submit_and_close(app: Headrace) -> None:
    async with app:
        handle = await app.submit(decide, IDEA)
        assert (await handle.status()).state == JobState.QUEUED


SCRIPT = """
import asyncio, sys
from headrace import Headrace
from tests.client.pipes import Idea, decide

app = Headrace([decide], database=sys.argv[1])

async def submit():
    print((await (await app.submit(decide, Idea("x"))).status()).state)

for _ in range(2):
    asyncio.run(submit())
"""
