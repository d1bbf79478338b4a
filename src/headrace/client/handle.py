"""A job in its submitter's hands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from headrace.client.client import Client
    from headrace.client.status import JobStatus
    from headrace.model.duration import Duration
    from headrace.model.job import JobState
    from headrace.store.reads import HistoryEntry

T = TypeVar("T")


class JobHandle(Generic[T]):
    """A job whose result is a `T`.

    A handle is two references: a thousand of them cost next to nothing, and nothing is read
    before it is asked for.
    """

    __slots__ = ("_client", "_id")
    is_job_handle = True
    """By which a step is known that returns a child job."""

    def __init__(self, client: Client, job: object) -> None:
        """Use `Client.submit` or `Client.job`.

        Args:
            client: Reads and writes.
            job: The id, as text or as a UUID of any library.
        """
        self._client, self._id = client, job

    @property
    def id(self) -> str:
        """The job's id: a UUID as text. Ids of later jobs are larger."""
        return str(self._id)

    def __repr__(self) -> str:
        return f"<JobHandle {self.id}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JobHandle) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    async def status(self) -> JobStatus:
        """The job's state with its steps, also those that did not start.

        Raises:
            JobNotFoundError: It was never stored (its transaction was rolled back) or is erased.
        """
        return await self._client.status(self.id)

    async def result(self, timeout: Duration | None = None) -> T:
        """Wait until the job completes; an undo job has no result: None.

        The database is asked after 50 ms and then ever more seldom, up to once a second; an outage
        of it is waited out. Never use it inside a step: it would hold a slot.

        Args:
            timeout: Seconds or a timedelta; None waits as long as the job takes.

        Raises:
            JobFailedError: The job failed; the error has the cause and the message.
            JobCancelledError: The job was cancelled.
            TimeoutError: The time is over; the job goes on.
            JobNotFoundError: There is no such job.
            CodecError: The stored result is no value of the output type of this code.
            CheckpointCorruptError: The result is an artifact that is missing or changed.
        """
        value: T = await self._client.wait_for_result(self.id, timeout)
        return value

    async def send(self, name: str, value: object, *, actor: str = "user") -> bool:
        """Send a value to the job, for the steps that take it as `Signal(...)`.

        It may come before a step waits for it. The first value of a name stands, also where the
        sender did not hear the answer and sends it again.

        Args:
            name: That of the steps' parameter.
            value: What its annotation says.
            actor: Who sends it, kept with it.

        Returns:
            Whether this value stands: False where another one came before, or the time was over.

        Raises:
            SignalNotFoundError: No step of the job's pipeline takes a signal of this name.
            InputError: The value does not fit; the error says where.
            JobFinishedError: The job has ended without it.
            JobNotFoundError: There is no such job.
            PipelineNotFoundError: This app does not have the job's pipeline.
        """
        return await self._client.send(self.id, name, value, actor=actor)

    async def signal_url(
        self,
        name: str,
        *,
        valid: Duration | None = None,
        title: str = "",
        text: str = "",
    ) -> str:
        """A link behind which a person answers a signal of the job, once and without an account.

        See `StepContext.signal_url`, which a step calls.

        Args:
            name: That of the steps' parameter.
            valid: Seconds, or a timedelta, from now on: 1 s to 365 days; the signal's timeout if
                left out.
            title: What is to be decided, one line of at most 100 characters.
            text: More on it, at most 300 characters.

        Raises:
            SignalNotFoundError: No step of the job's pipeline takes a signal of this name.
            OptionError: An option is not accepted.
            LinksOffError: A setting is missing without which there are no links.
            JobNotFoundError: There is no such job.
            PipelineNotFoundError: This app does not have the job's pipeline.
        """
        return await self._client.signal_url(self.id, name, valid=valid, title=title, text=text)

    async def cancel(self, reason: str | None = None, *, actor: str = "user") -> JobState:
        """Cancel the job: a queued one at once, a running one within seconds; outputs are kept.

        Returns:
            `cancelled`, or `running` while its worker stops it.

        Raises:
            TransitionError: It has completed or failed.
            UndoJobError: It undoes another job.
            JobNotFoundError: There is no such job.
        """
        return await self._client.cancel(self.id, reason=reason, actor=actor)

    def events(self, *, after: int = 0) -> AsyncIterator[HistoryEntry]:
        """The job's transitions as they happen, until it has ended.

        Args:
            after: The `seq` of the last one that is known; 0 for all.

        Raises:
            JobNotFoundError: There is no such job.
        """
        return self._client.follow(self.id, after=after)
