"""The floor of HTTP submissions: a plain FastAPI route that validates the same body, and no more.

No credential, no limit, no header of its own, no database: `python -m bench.http_empty PORT`.
"""

import asyncio
import sys
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import uvicorn
import uvloop
from fastapi import FastAPI
from pydantic import TypeAdapter

from bench.headrace_app import Item
from headrace.web.app import NO_TELEMETRY
from headrace.web.views.submission import NewJobBody, SubmittedJob

JOB: Final = UUID("0192f1e2-1234-7abc-8def-001122334455")
NOW: Final = datetime.now(UTC)
ITEMS: Final = TypeAdapter(Item)

app = FastAPI(telemetry=NO_TELEMETRY)


@app.post("/v1/jobs", status_code=202)
async def submit(body: NewJobBody) -> SubmittedJob:
    """Look at the body, and answer what a submission is answered."""
    ITEMS.validate_python(body.payload)
    return SubmittedJob(
        job_id=JOB,
        run=1,
        state="queued",
        pipeline=body.pipeline,
        priority=5,
        created_at=NOW,
        queued_at=NOW,
        due_at=NOW,
        check_status_at=NOW,
    )


async def serve(port: int) -> None:
    """Serve it as `headrace api` serves: the same server, loop and parser, and no access log."""
    config = uvicorn.Config(app, port=port, http="httptools", log_config=None, access_log=False)
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1])))
