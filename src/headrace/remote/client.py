"""The client of a remote API."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from headrace.errors import (
    JobCancelledError,
    JobFailedError,
    NotCompletedError,
    OptionError,
)
from headrace.model.duration import to_timedelta
from headrace.model.job import JobState
from headrace.remote.address import find_address
from headrace.remote.documents import RemoteDocuments
from headrace.remote.encoding import checked_key, codec_of, decode_result, encode_job, job_id
from headrace.remote.errors import ForeignAnswerError
from headrace.remote.following import Follower, PollPauses
from headrace.remote.handle import RemoteJob
from headrace.remote.overviews import Overviews
from headrace.remote.problems import Subject
from headrace.remote.reviews import RemoteReviews
from headrace.remote.signals import RemoteSignals
from headrace.remote.transport import JSON, Call, Limits, Transport, new_key
from headrace.remote.values import HistoryEntry, JobStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType
    from typing import Unpack
    from uuid import UUID

    from typing_extensions import TypeForm

    from headrace.model.codec import Codec
    from headrace.model.duration import Duration
    from headrace.model.pipeline import Pipeline
    from headrace.remote.encoding import RemoteSubmitOptions
    from headrace.remote.transport import Answer
    from headrace.remote.values import JobEvent

I = TypeVar("I")  # noqa: E741 - input
O = TypeVar("O")  # noqa: E741 - output
T = TypeVar("T")

DAY_S = 86_400.0


class RemoteClient(RemoteSignals, Overviews):
    """Jobs and documents of a `headrace api` somewhere else, over HTTP.

    It needs neither a database nor the code of the pipelines, though with it results have their
    types. Use `async with RemoteClient(...) as client:`, or `await client.close()`.

    A call that gets no answer, 429 or 503 is sent again, as the server asks for it, until
    `patience` is over. Each call that changes something has an idempotency key, so that it is done
    once however often it is sent.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        insecure: bool | None = None,
        timeout: Duration = 35,
        patience: Duration = 90,
        silence: Duration = 45,
    ) -> None:
        """Nothing is connected before the first call.

        Args:
            url: The address of the API; if left out, HEADRACE_API_URL.
            token: An API key or a JWT; if left out, HEADRACE_API_TOKEN. It stands in no log and no
                `repr`.
            insecure: Send the token over plain HTTP to other machines than this one too; if left
                out, HEADRACE_API_INSECURE, which is false.
            timeout: For one answer.
            patience: For which a call is tried again; 0 tries once. A server that has not answered
                yet is given 10 s at most: its address may be wrong.
            silence: After which an event stream counts as lost; the server shows a sign of life
                every 15 s.

        Raises:
            AddressError: There is no address, it cannot be used, or it is plain HTTP.
            ValueError: A duration is out of range.
        """
        address = find_address(url, token, insecure=insecure)
        limits = Limits(
            to_timedelta(timeout, "timeout", least=0.1, most=DAY_S).total_seconds(),
            to_timedelta(patience, "patience", most=DAY_S).total_seconds(),
            to_timedelta(silence, "silence", least=0.1, most=DAY_S).total_seconds(),
        )
        super().__init__(Transport(address, limits))
        self.documents = RemoteDocuments(self._transport)
        self.reviews = RemoteReviews(self._transport)

    def __repr__(self) -> str:
        return f"<RemoteClient {self._transport.address.url}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections; another call opens one again."""
        await self._transport.close()

    # --- submit -----------------------------------------------------------------------------------

    @overload
    async def submit(
        self,
        pipeline: Pipeline[I, O],
        input: I,
        *,
        idempotency_key: str | None = None,
        **options: Unpack[RemoteSubmitOptions],
    ) -> RemoteJob[O]: ...

    @overload
    async def submit(
        self,
        pipeline: str,
        input: object,
        *,
        output: TypeForm[T],
        idempotency_key: str | None = None,
        **options: Unpack[RemoteSubmitOptions],
    ) -> RemoteJob[T]: ...

    @overload
    async def submit(
        self,
        pipeline: str,
        input: object,
        *,
        idempotency_key: str | None = None,
        **options: Unpack[RemoteSubmitOptions],
    ) -> RemoteJob[Any]: ...

    async def submit(
        self,
        pipeline: Pipeline[Any, Any] | str,
        input: object,  # noqa: A002 - the word of the whole interface
        *,
        output: object = None,
        idempotency_key: str | None = None,
        **options: Unpack[RemoteSubmitOptions],
    ) -> RemoteJob[Any]:
        """Store a job; when this returns it will be run, whatever happens.

        Args:
            pipeline: What to run: a pipeline, or the name of one that the server carries.
            input: Its input; JSON values, where a name is given.
            output: The type of the result, where a name is given; if left out the result is JSON.
            idempotency_key: The same call with the same key gives the same job, within 24 hours,
                whoever of the owner's programs makes it; 1 to 255 printable ASCII characters. Give
                `due` as a time then: a duration means another time each time.
            **options: See `RemoteSubmitOptions`.

        Raises:
            InputError: The input does not fit the pipeline or is too large; it names the fields.
            OptionError: An option is not accepted.
            NotFoundError: The server carries no such pipeline, or it has no such preset.
            IdempotencyKeyReusedError: The key belongs to another request.
            UnavailableError: The server did not answer in time, and the job may be stored. With a
                key the call can be repeated.
        """
        key = new_key() if idempotency_key is None else checked_key(idempotency_key)
        name = pipeline if isinstance(pipeline, str) else pipeline.name
        codec = codec_of(output if isinstance(pipeline, str) else pipeline)
        call = Call(
            method="POST",
            path="/v1/jobs",
            headers={"Content-Type": JSON, "Idempotency-Key": key},
            content=encode_job(pipeline, input, options),
            subject=Subject(pipeline=name, key=key),
        )
        answer = await self._transport.call(call)
        return RemoteJob(self, _id_in(answer), codec)

    # --- follow -----------------------------------------------------------------------------------

    @overload
    def job(self, job: str | UUID, output: Pipeline[I, O]) -> RemoteJob[O]: ...

    @overload
    def job(self, job: str | UUID, output: TypeForm[T]) -> RemoteJob[T]: ...

    @overload
    def job(self, job: str | UUID) -> RemoteJob[Any]: ...

    def job(self, job: str | UUID, output: object = None) -> RemoteJob[Any]:
        """A handle of a job by its id; nothing is asked.

        Args:
            job: The id.
            output: Its pipeline, or the type of its result; if left out the result is JSON.

        Raises:
            JobNotFoundError: It is no id of a job.
        """
        return RemoteJob(self, job_id(job), codec_of(output))

    async def status(self, job: str | UUID) -> JobStatus:
        """The state of a job with its steps; see `RemoteJob.status`."""
        return (await self._get(job, "")).value(JobStatus)

    async def history(self, job: str | UUID) -> list[HistoryEntry]:
        """The transitions of a job so far, oldest first; see `RemoteJob.history`."""
        entries: list[HistoryEntry] = []
        while True:
            answer = await self._get(job, "/history", after=entries[-1].seq if entries else 0)
            found = _list_in(answer)
            if not found:
                return entries
            entries += [answer.value(HistoryEntry, one) for one in found]

    def events(self, job: str | UUID, *, after: str = "") -> AsyncIterator[JobEvent]:
        """What happens to a job, as it happens; see `RemoteJob.events`."""
        return Follower(self._transport, job_id(job), after).events()

    async def wait(
        self, job: str | UUID, timeout: Duration | None = None, *, live: bool = True
    ) -> JobStatus:
        """Wait until a job has ended; see `RemoteJob.wait`."""
        async with asyncio.timeout(_seconds(timeout)):
            pauses = PollPauses()
            while True:
                status = await self.status(job)
                if status.is_final:
                    return status
                await (self._follow(job) if live else pauses.wait())

    async def result(
        self, job: str | UUID, timeout: Duration | None = None, *, live: bool = True
    ) -> Any:  # noqa: ANN401 - JSON
        """The result of a job as JSON; see `RemoteJob.result`."""
        return await self.fetch_result(job, timeout, live=live, codec=None)

    async def fetch_result(
        self, job: str | UUID, timeout: Duration | None, *, live: bool, codec: Codec[Any] | None
    ) -> Any:  # noqa: ANN401 - a user's value
        """The result of a job, read by a codec; see `RemoteJob.result`."""
        async with asyncio.timeout(_seconds(timeout)):
            pauses = PollPauses()
            while True:
                try:
                    answer = await self._get(job, "/result")
                except NotCompletedError as error:
                    await self._check(job, error)
                    await (self._follow(job) if live else pauses.wait())
                else:
                    return decode_result(codec, _result_in(answer))

    async def _follow(self, job: str | UUID) -> None:
        """Return once the job has ended."""
        async with aclosing(Follower(self._transport, job_id(job)).events()) as events:
            async for _ in events:
                pass

    async def _check(self, job: str | UUID, found: NotCompletedError) -> None:
        """Return if the job may still get a result."""
        if found.state in {JobState.QUEUED, JobState.RUNNING}:
            return
        if found.state == JobState.CANCELLED:
            raise JobCancelledError(found.job_id)
        if found.state == JobState.FAILED:
            status = await self.status(job)  # the cause does not come with the refusal
            if status.state is not JobState.FAILED:
                return
            message = status.error.message if status.error else ""
            raise JobFailedError(found.job_id, status.cause or "", message)
        raise found

    # --- operate ----------------------------------------------------------------------------------

    async def cancel(self, job: str | UUID, *, reason: str | None = None) -> JobState:
        """Cancel a job; see `RemoteJob.cancel`."""
        answer = await self._act(job, "cancel", {"reason": reason} if reason else {})
        return JobState(answer.json()["state"])

    async def retry(
        self, job: str | UUID, reason: str, *, from_step: str | None = None, force: bool = False
    ) -> int:
        """Open a new run of a failed or cancelled job; it takes over all stored outputs.

        Args:
            job: Its id.
            reason: Kept in the job's history; 1 to 500 characters.
            from_step: This step, and all that depend on it, run again; the rest is taken over.
            force: Everything runs again.

        Returns:
            The number of the new run.

        Raises:
            TransitionError: The job is queued, running or completed.
            OptionError: Its pipeline has no such step.
            JobNotFoundError: There is no such job, or it is somebody else's.
        """
        return await self._reopen(job, "retry", reason, from_step, force=force)

    async def replay(
        self, job: str | UUID, reason: str, *, from_step: str | None = None, force: bool = False
    ) -> int:
        """Open a new run of a completed job; arguments and errors as `retry`.

        Raises:
            OptionError: Neither `from_step` nor `force` is given, so that nothing would run.
        """
        if from_step is None and not force:
            raise OptionError("from_step", "give a step to start from, or force=True")
        return await self._reopen(job, "replay", reason, from_step, force=force)

    async def _reopen(
        self, job: str | UUID, action: str, reason: str, from_step: str | None, *, force: bool
    ) -> int:
        body: dict[str, Any] = {"reason": reason, "force": force}
        if from_step is not None:
            body["from_step"] = from_step
        answer = await self._act(job, action, body)
        return int(answer.json()["run"])

    # --- inside -----------------------------------------------------------------------------------

    async def _get(self, job: str | UUID, path: str, **query: Any) -> Answer:
        key = job_id(job)
        return await self._transport.call(
            Call(
                method="GET",
                path=f"/v1/jobs/{key}{path}",
                query=query,
                subject=Subject(job=key),
            )
        )

    async def _act(self, job: str | UUID, action: str, body: dict[str, Any]) -> Answer:
        key = job_id(job)
        return await self._transport.call(
            Call(
                method="POST",
                path=f"/v1/jobs/{key}/{action}",
                headers={"Content-Type": JSON, "Idempotency-Key": new_key()},
                content=json.dumps(body).encode(),
                subject=Subject(job=key),
            )
        )


def _seconds(timeout: Duration | None) -> float | None:
    return None if timeout is None else to_timedelta(timeout, "timeout").total_seconds()


def _id_in(answer: Answer) -> str:
    told = answer.json()
    if isinstance(told, dict) and isinstance(told.get("job_id"), str):
        return str(told["job_id"])
    raise ForeignAnswerError(answer.address, "answered without the id of a job")


def _list_in(answer: Answer) -> list[Any]:
    told = answer.json()
    if not isinstance(told, list):
        raise ForeignAnswerError(answer.address, "answered with something that is no list")
    return told


def _result_in(answer: Answer) -> Any:  # noqa: ANN401 - JSON
    told = answer.json()
    if not isinstance(told, dict) or "result" not in told:
        raise ForeignAnswerError(answer.address, "answered without a result")
    return told["result"]
