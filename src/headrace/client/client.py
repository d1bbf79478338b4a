"""The client: submit jobs, follow them, operate them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, overload

from headrace.client.handle import JobHandle
from headrace.client.links import Links
from headrace.client.operations import Operations
from headrace.client.options import Given
from headrace.client.schedules import Schedules
from headrace.client.sending import encode_signal, send, send_from_step
from headrace.client.signals import list_signals
from headrace.client.status import read_status
from headrace.client.submission import Limits, Submitter, parse_id
from headrace.client.waiting import follow, read_result_text, wait_for_result
from headrace.errors import JobNotFoundError, OptionError
from headrace.store.lanes import Lanes
from headrace.store.links import read_run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence
    from typing import Unpack
    from uuid import UUID

    from headrace.broker.broker import Broker
    from headrace.client.options import SubmitOptions
    from headrace.client.status import JobStatus
    from headrace.model.duration import Duration
    from headrace.model.fate import Fate
    from headrace.model.pipeline import Pipeline
    from headrace.model.status import SignalInfo
    from headrace.store.artifacts import ArtifactStore
    from headrace.store.connections import Connections
    from headrace.store.reads import HistoryEntry

I = TypeVar("I")  # noqa: E741 - input
O = TypeVar("O")  # noqa: E741 - output


class Client(Operations):
    """Everything that can be asked of headrace without being a worker.

    `Headrace` makes one; its methods of the same names come here.
    """

    def __init__(
        self,
        connections: Connections,
        broker: Broker,
        *,
        pipelines: Iterable[Pipeline[Any, Any]],
        limits: Callable[[], Limits] = Limits,
        artifacts: Callable[[], ArtifactStore | None] = lambda: None,
        links: Links | None = None,
    ) -> None:
        """Nothing is connected before the first call.

        Args:
            connections: Where everything is read and written.
            broker: Wakes the workers.
            pipelines: What can be submitted.
            limits: The settings of submissions, asked for with each one.
            artifacts: Gives the place of large results, when one is read.
            links: Makes links to signals; without it none can be made.
        """
        super().__init__(connections, broker, pipelines=pipelines, limits=limits)
        self.lanes = Lanes(connections)
        self.links = links or Links()
        self._artifacts = artifacts
        self.submitter = Submitter(connections, self.lanes, broker, limits)

    @cached_property
    def schedules(self) -> Schedules:
        """What submits jobs by the clock: listed, paused, resumed, triggered."""
        return Schedules(self, self._connections, self.echo)

    def echo(self, queue: str) -> None:
        """Ring for a queue after a transaction that notified of itself, where nobody hears that."""
        self._broker.echo(queue)  # that of the moment: `_use_broker` may come later

    # --- submit -----------------------------------------------------------------------------------

    @overload
    async def submit(
        self,
        pipeline: Pipeline[I, O],
        input: I,
        *,
        idempotency_key: str | None = None,
        **options: Unpack[SubmitOptions],
    ) -> JobHandle[O]: ...

    @overload
    async def submit(
        self,
        pipeline: str,
        input: object,
        *,
        idempotency_key: str | None = None,
        **options: Unpack[SubmitOptions],
    ) -> JobHandle[Any]: ...

    async def submit(
        self,
        pipeline: Pipeline[Any, Any] | str,
        input: object,  # noqa: A002 - the word of the whole interface
        *,
        idempotency_key: str | None = None,
        **options: Unpack[SubmitOptions],
    ) -> JobHandle[Any]:
        """Store a job; when this returns it will be run, whatever happens.

        With `connection` it is stored in that connection's transaction, and exists if and only if
        the transaction commits: a connection of asyncpg, a step's `Transaction`, an
        `AsyncConnection` or `AsyncSession` of SQLAlchemy, an `AsyncConnection` of psycopg.

        Args:
            pipeline: What to run: one of this app's pipelines, or its name.
            input: Its input.
            idempotency_key: With the same key and the same input, the same job comes back;
                unique for a tenant and owner, at most 500 characters.
            **options: See `SubmitOptions`.

        Returns:
            A handle of the job.

        Raises:
            InputError: The input does not fit the pipeline or is too large; it names the fields.
            OptionError: An option is not accepted.
            PipelineNotFoundError: This app has no such pipeline.
            PresetNotFoundError: The pipeline has no such preset.
            IdempotencyKeyReusedError: The key belongs to a job with another input.
            DatabaseUnavailableError: No server answered; the text says whether the job may be
                stored. With a key the call can be repeated.
        """
        known = self.pipeline(pipeline)
        given = _given(options)
        if idempotency_key is None:
            return JobHandle(self, await self.submitter.submit(known, input, given))
        [job] = await self.submitter.submit_keyed(known, [input], [idempotency_key], given)
        return JobHandle(self, job)

    @overload
    async def submit_many(
        self,
        pipeline: Pipeline[I, O],
        inputs: Iterable[I],
        *,
        idempotency_keys: Sequence[str] | None = None,
        **options: Unpack[SubmitOptions],
    ) -> list[JobHandle[O]]: ...

    @overload
    async def submit_many(
        self,
        pipeline: str,
        inputs: Iterable[object],
        *,
        idempotency_keys: Sequence[str] | None = None,
        **options: Unpack[SubmitOptions],
    ) -> list[JobHandle[Any]]: ...

    async def submit_many(
        self,
        pipeline: Pipeline[Any, Any] | str,
        inputs: Iterable[object],
        *,
        idempotency_keys: Sequence[str] | None = None,
        **options: Unpack[SubmitOptions],
    ) -> list[JobHandle[Any]]:
        """Store many jobs that share their options, in one transaction: all of them, or none.

        Args:
            pipeline: What to run.
            inputs: Their inputs.
            idempotency_keys: As many as inputs; a key that comes twice is one job.
            **options: See `SubmitOptions`.

        Returns:
            Handles, in the order of the inputs; empty where there are none.

        Raises:
            InputError: One does not fit; the path begins with its place, as `$[17].name`.
            HeadraceError: As `submit`.
        """
        known = self.pipeline(pipeline)
        given = _given(options)
        values = inputs if isinstance(inputs, list) else list(inputs)
        if idempotency_keys is None:
            jobs = await self.submitter.submit_many(known, values, given)
        else:
            jobs = await self.submitter.submit_keyed(known, values, idempotency_keys, given)
        return [JobHandle(self, job) for job in jobs]

    # --- follow -----------------------------------------------------------------------------------

    def job(self, job: str | UUID) -> JobHandle[Any]:
        """A handle of a job by its id; nothing is read.

        Raises:
            JobNotFoundError: It is no id of a job.
        """
        return JobHandle(self, parse_id(job))

    async def status(self, job: str | UUID) -> JobStatus:
        """The state of a job with its steps; see `JobHandle.status`."""
        key = parse_id(job)
        async with self._connections.use() as connection:
            status = await read_status(connection, key, self._pipelines.get)
        if status is None:
            raise JobNotFoundError(job)
        return status

    async def wait_for_result(self, job: str | UUID, timeout: Duration | None = None) -> Any:  # noqa: ANN401
        """The result of a job; see `JobHandle.result`."""
        return await wait_for_result(
            self._connections, parse_id(job), timeout, self._pipelines.get, self._artifacts()
        )

    async def read_result(self, job: str | UUID) -> str:
        """The result of a job that has ended, as its stored JSON.

        Raises:
            NotCompletedError: It has not ended, or was erased.
            HeadraceError: As `JobHandle.result`.
        """
        return await read_result_text(
            self._connections, parse_id(job), self._pipelines.get, self._artifacts()
        )

    def follow(self, job: str | UUID, *, after: int = 0) -> AsyncIterator[HistoryEntry]:
        """The transitions of a job as they happen; see `JobHandle.events`."""
        return follow(self._connections, parse_id(job), after=after)

    # --- send -------------------------------------------------------------------------------------

    async def send(self, job: str | UUID, name: str, value: object, *, actor: str = "user") -> bool:
        """Send a value to a job, whose step waits for it or will do so; see `JobHandle.send`."""
        return (await self.send_signal(job, name, value, actor=actor)).stands

    async def send_signal(
        self, job: str | UUID, name: str, value: object, *, actor: str = "user"
    ) -> Fate:
        """As `send`; tells what became of the value."""

        def encode(pipeline: str) -> str:
            return self.encode_signal(self.pipeline(pipeline), name, value)

        async with self._connections.use() as connection:
            return await send(
                connection, parse_id(job), name, encode, actor=actor, ring=self._broker.echo
            )

    def encode_signal(self, pipeline: Pipeline[Any, Any], name: str, value: object) -> str:
        """The stored form of a value for a signal, checked by the code of the pipeline.

        Raises:
            SignalNotFoundError: No step of the pipeline waits for this name.
            InputError: The value does not fit, or takes more than `HEADRACE_MAX_PAYLOAD_BYTES`.
        """
        return encode_signal(pipeline, name, value, self._limits().max_payload_bytes)

    async def list_signals(self, job: str | UUID) -> list[SignalInfo]:
        """What can be sent to a job, what its steps wait for, and what came in its present run.

        Raises:
            JobNotFoundError: There is no such job.
        """
        key = parse_id(job)
        async with self._connections.use() as connection:
            found = await list_signals(connection, key, self._pipelines.get)
        if found is None:
            raise JobNotFoundError(job)
        return found

    async def signal_url(
        self,
        job: str | UUID,
        name: str,
        *,
        valid: Duration | None = None,
        title: str = "",
        text: str = "",
    ) -> str:
        """A link behind which a person answers a signal; see `JobHandle.signal_url`."""
        key = parse_id(job)
        async with self._connections.use() as connection:
            found = await read_run(connection, key)
        if found is None:
            raise JobNotFoundError(key)
        run, pipeline = found
        known = self.pipeline(pipeline)
        return self.links.make(known, key, run, name, valid=valid, title=title, text=text)

    async def send_from_step(
        self, job: UUID, token: int, name: str, text: str, *, sender: str
    ) -> Fate:
        """Send a value, which is encoded already, from a step to its own job.

        Raises:
            LeaseLostError: The job has passed to another worker.
        """
        return await send_from_step(self._connections, job, token, name, text, sender=sender)

    def _use_broker(self, broker: Broker) -> None:
        """Ring by another broker from now on."""
        self._broker = broker
        self.submitter.storing.broker = broker

    async def close(self) -> None:
        """Send the rings that are due, and close the connections."""
        await self._broker.close()
        await self._connections.close()


def _given(options: SubmitOptions) -> Given:
    try:
        return Given(**options)
    except TypeError:
        unknown = ", ".join(sorted(set(options) - set(Given.__slots__)))
        raise OptionError(unknown, "there is no such option of submit") from None
