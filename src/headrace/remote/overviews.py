"""What there is at a remote API: jobs, dead letters, queues, pipelines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from headrace.errors import NotFoundError, OptionError, PipelineNotFoundError
from headrace.remote.errors import ForeignAnswerError
from headrace.remote.listing import Listing
from headrace.remote.transport import Call
from headrace.remote.values import DeadLetter, JobSummary, PipelineInfo, QueueStatus

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from headrace.remote.transport import Transport


class Overviews:
    """The listings of `RemoteClient`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list_jobs(
        self,
        *,
        states: Sequence[str] | None = None,
        pipeline: str | None = None,
        preset: str | None = None,
        queue: str | None = None,
        priority: int | None = None,
        wait_reason: str | None = None,
        cause: str | None = None,
        correlation_id: str | None = None,
        parent_job: str | UUID | None = None,
        created_since: datetime | None = None,
        created_before: datetime | None = None,
    ) -> Listing[JobSummary]:
        """The caller's jobs, newest first: `async for job in client.list_jobs(...)`.

        With the scope `tenant:admin` those of all owners of the tenant. What is left out does not
        matter; times have a zone.
        """
        query = {
            "state": states,
            "pipeline": pipeline,
            "preset": preset,
            "queue": queue,
            "priority": priority,
            "wait_reason": wait_reason,
            "cause": cause,
            "correlation_id": correlation_id,
            "parent_job_id": None if parent_job is None else str(parent_job),
            "start_date": _text_of("created_since", created_since),
            "end_date": _text_of("created_before", created_before),
        }
        return Listing(self._transport, "/v1/jobs", JobSummary, query)

    def list_dead_letters(
        self,
        *,
        pipeline: str | None = None,
        queue: str | None = None,
        cause: str | None = None,
        code: str | None = None,
        correlation_id: str | None = None,
        failed_since: datetime | None = None,
        failed_before: datetime | None = None,
    ) -> Listing[DeadLetter]:
        """The caller's failed runs that nobody has started again, newest first; as `list_jobs`."""
        query = {
            "pipeline": pipeline,
            "queue": queue,
            "cause": cause,
            "code": code,
            "correlation_id": correlation_id,
            "start_date": _text_of("failed_since", failed_since),
            "end_date": _text_of("failed_before", failed_before),
        }
        return Listing(self._transport, "/v1/dead-letters", DeadLetter, query)

    async def list_queues(self) -> list[QueueStatus]:
        """Every queue, with what waits and runs in it of the caller's jobs."""
        return await self._list("/v1/queues", QueueStatus)

    async def list_pipelines(self) -> list[PipelineInfo]:
        """The pipelines that the server carries."""
        return await self._list("/v1/pipelines", PipelineInfo)

    async def describe_pipeline(self, name: str) -> PipelineInfo:
        """One pipeline, with the JSON schemas of its input and its result.

        Raises:
            PipelineNotFoundError: The server carries none of this name.
        """
        call = Call(method="GET", path=f"/v1/pipelines/{quote(name, safe='')}")
        try:
            return (await self._transport.call(call)).value(PipelineInfo)
        except NotFoundError as error:
            raise PipelineNotFoundError(name) from error

    async def _list(self, path: str, kind: type[Any]) -> list[Any]:
        answer = await self._transport.call(Call(method="GET", path=path))
        told = answer.json()
        if not isinstance(told, list):
            raise ForeignAnswerError(answer.address, "answered with something that is no list")
        return [answer.value(kind, one) for one in told]


def _text_of(option: str, time: datetime | None) -> str | None:
    if time is None:
        return None
    if time.tzinfo is None:
        raise OptionError(option, f"{time!r} is no time with a zone")
    return time.isoformat()
