"""The id of a job in a path: only that of the caller's own job passes."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Path, Request

from headrace.store.requests import is_owned
from headrace.web.auth.depends import identify
from headrace.web.problems import not_found
from headrace.web.state import CONNECTION_WAIT_S, service_of

JobId = Annotated[UUID, Path(description="The id of a job.")]


async def owned_job(request: Request, job_id: JobId) -> UUID:
    """The id, if the job belongs to the caller.

    Raises:
        ProblemError: `NOT_FOUND`: there is no such job, or it is somebody else's.
    """
    identity = await identify(request)
    async with service_of(request).app.connection(wait_s=CONNECTION_WAIT_S) as connection:
        if await is_owned(connection, job_id, identity.tenant, identity.sees_owner()):
            return job_id
    raise not_found()


OwnedJob = Annotated[UUID, Depends(owned_job)]
"""The parameter of a route whose path has `{job_id}`."""
