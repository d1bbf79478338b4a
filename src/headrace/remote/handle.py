"""A job at a remote API, in its submitter's hands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from headrace.model.codec import Codec
    from headrace.model.duration import Duration
    from headrace.model.job import JobState
    from headrace.remote.client import RemoteClient
    from headrace.remote.values import HistoryEntry, JobEvent, JobStatus

T = TypeVar("T")


class RemoteJob(Generic[T]):
    """A job whose result is a `T`: what `JobHandle` is where the database is at hand."""

    __slots__ = ("_client", "_codec", "_id")

    def __init__(self, client: RemoteClient, job: str, codec: Codec[Any] | None) -> None:
        """Use `RemoteClient.submit` or `RemoteClient.job`."""
        self._client, self._id, self._codec = client, job, codec

    @property
    def id(self) -> str:
        """The job's id: a UUID as text. Ids of later jobs are larger."""
        return self._id

    def __repr__(self) -> str:
        return f"<RemoteJob {self.id}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemoteJob) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    async def status(self) -> JobStatus:
        """The job's state with its steps, also those that did not start.

        Raises:
            JobNotFoundError: There is no such job, or it is somebody else's.
        """
        return await self._client.status(self.id)

    async def wait(self, timeout: Duration | None = None, *, live: bool = True) -> JobStatus:
        """Wait until the job has ended, however it does; arguments and errors as `result`.

        Returns:
            Its last status.
        """
        return await self._client.wait(self.id, timeout, live=live)

    async def result(self, timeout: Duration | None = None, *, live: bool = True) -> T:
        """Wait until the job completes.

        A restart of the server, or a broken connection, is waited out for as long as the client's
        `patience`. Never use it inside a step: it would hold a slot.

        Args:
            timeout: Seconds or a timedelta; None waits as long as the job takes.
            live: Follow the events, and know at once when it ends. If not, ask after 2 s, then ever
                more seldom, up to every 10 s: where a stream for each job is too much.

        Raises:
            JobFailedError: The job failed; the error has the cause and the message.
            JobCancelledError: The job was cancelled.
            TimeoutError: The time is over; the job goes on.
            JobNotFoundError: There is no such job, or it is somebody else's.
            CodecError: The result is no value of the output type.
            UnavailableError: The server is away for longer than `patience`; the job goes on.
        """
        value: T = await self._client.fetch_result(self.id, timeout, live=live, codec=self._codec)
        return value

    def events(self, *, after: str = "") -> AsyncIterator[JobEvent]:
        """What happens to the job, as it happens, until it has ended.

        Broken connections are taken up again where they broke: no event is missing or comes twice.

        Args:
            after: The `id` of the last event that is known; empty for all.

        Raises:
            JobNotFoundError: There is no such job, or it is somebody else's.
            UnavailableError: The server is away for longer than `patience`.
        """
        return self._client.events(self.id, after=after)

    async def history(self) -> list[HistoryEntry]:
        """The transitions of the job so far, oldest first.

        Raises:
            JobNotFoundError: There is no such job, or it is somebody else's.
        """
        return await self._client.history(self.id)

    async def send(self, name: str, value: object) -> bool:
        """Send a value to the job, for the steps that take it as `Signal(...)`.

        It may come before a step waits for it. The first value of a name stands, also where the
        sender did not hear the answer and sends it again.

        Args:
            name: That of the steps' parameter.
            value: JSON, or a value whose type says how it is written.

        Returns:
            Whether this value stands: False where another one came before, or the time was over.

        Raises:
            SignalNotFoundError: No step of the job's pipeline takes a signal of this name.
            InputError: The value does not fit; the error says where.
            JobFinishedError: The job has ended without it.
            JobNotFoundError: There is no such job, or it is somebody else's.
        """
        return await self._client.send(self.id, name, value)

    async def cancel(self, reason: str | None = None) -> JobState:
        """Cancel the job: a queued one at once, a running one within seconds; outputs are kept.

        Returns:
            `cancelled`, or `running` while its worker stops it.

        Raises:
            TransitionError: It has completed or failed.
            JobNotFoundError: There is no such job, or it is somebody else's.
        """
        return await self._client.cancel(self.id, reason=reason)

    async def retry(self, reason: str, *, from_step: str | None = None, force: bool = False) -> int:
        """Open a new run of the failed or cancelled job; see `RemoteClient.retry`."""
        return await self._client.retry(self.id, reason, from_step=from_step, force=force)

    async def replay(
        self, reason: str, *, from_step: str | None = None, force: bool = False
    ) -> int:
        """Open a new run of the completed job; see `RemoteClient.replay`."""
        return await self._client.replay(self.id, reason, from_step=from_step, force=force)
