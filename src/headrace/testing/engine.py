"""The engine for tests: a database, an app on it, and workers when they are wanted."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import tempfile
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from headrace.app import Headrace
from headrace.errors import InvalidError
from headrace.store.clock import move_clock
from headrace.store.databases import fresh_database, make_template
from headrace.store.sql import SQL
from headrace.testing.app import TrialApp
from headrace.testing.inspection import Inspection
from headrace.testing.orders import Orders
from headrace.testing.process import WorkerProcess, seconds_of
from headrace.testing.running import RunningWorker, running
from headrace.testing.server import project_server
from headrace.testing.waiting import NotEmptyError, Unfinished, unfinished
from headrace.worker.timing import Timing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping
    from types import TracebackType
    from typing import Unpack

    from headrace.client import JobHandle
    from headrace.client.options import SubmitOptions
    from headrace.model.pipeline import Pipeline
    from headrace.settings import Settings

I = TypeVar("I")  # noqa: E741 - input
O = TypeVar("O")  # noqa: E741 - output

SPEED: Final = 1 / 15
"""Of a test's workers: a lease of 30 s is one of 2 s."""
LOOK_S: Final = 0.02


class Engine(Inspection):
    """An engine on an empty database of its own, for one test.

        async with Engine(pipelines=[consensus]) as engine:
            job = await engine.submit(consensus, Idea("a bridge"))
            await engine.run_until_empty()
            assert (await job.result()).ok

    Everything is real: the database is a copy of a template that is made once, and dropped at the
    end. Nothing runs before `run_until_empty`, `worker` or `spawn`. Durations by which workers live
    are a fifteenth of the usual ones, so a worker that was killed is replaced within a second.
    """

    def __init__(
        self,
        pipelines: Iterable[Pipeline[Any, Any]],
        *,
        server: str | None = None,
        settings: Settings | None = None,
        timing: Timing | None = None,
    ) -> None:
        """Check the pipelines; the database is made by `async with`.

        Args:
            pipelines: What can be submitted and run.
            server: Address of a PostgreSQL in which databases may be created; if left out, the
                project's embedded one.
            settings: In place of the environment's.
            timing: The durations of its workers, in place of a fifteenth of the usual ones.

        Raises:
            DefinitionError: A pipeline has no steps or no step returns its output.
        """
        super().__init__()
        self._pipelines = tuple(pipelines)
        self._server, self._settings = server, settings
        self._timing = timing or Timing().scaled(SPEED)
        self._exits = contextlib.AsyncExitStack()
        self._app: TrialApp | None = None
        self._folder = Path()
        self._workers: list[RunningWorker] = []

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as exits:
            server = self._server or await project_server(self._settings)
            self._folder = Path(
                exits.enter_context(tempfile.TemporaryDirectory(prefix="headrace-artifacts-"))
            )
            template = await make_template(server, Headrace(self._pipelines).migrations)
            self.database = await exits.enter_async_context(fresh_database(server, template))
            exits.push_async_callback(self._connections.close)
            self._app = self.app_with(self._pipelines)
            await exits.enter_async_context(self._app)
            self._exits = exits.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._exits.aclose()
        self._app = None

    # --- the app ----------------------------------------------------------------------------------

    @property
    def app(self) -> Headrace:
        """The app: everything that can be asked of headrace.

        Raises:
            InvalidError: Outside the `async with` block.
        """
        if self._app is None:
            raise InvalidError("an engine lives inside `async with Engine(...) as engine:`")
        return self._app

    @property
    def timing(self) -> Timing:
        """The durations of its workers."""
        return self._timing

    def app_with(
        self, pipelines: Iterable[Pipeline[Any, Any]], *, database: str | None = None
    ) -> TrialApp:
        """Another app on the same database, as a deployment of other code; open it yourself.

        Args:
            pipelines: What it carries.
            database: Another address of the same database, as that of a proxy.
        """
        return TrialApp(
            pipelines,
            database=database or self.database,
            artifacts=self._folder,
            settings=self._settings,
        )

    async def submit(
        self,
        pipeline: Pipeline[I, O],
        input: I,  # noqa: A002 - the word of the whole interface
        *,
        idempotency_key: str | None = None,
        **options: Unpack[SubmitOptions],
    ) -> JobHandle[O]:
        """Store a job; see `Headrace.submit`."""
        return await self.app.submit(pipeline, input, idempotency_key=idempotency_key, **options)

    async def submit_many(
        self, pipeline: Pipeline[I, O], inputs: Iterable[I], **options: Unpack[SubmitOptions]
    ) -> list[JobHandle[O]]:
        """Store many jobs; see `Headrace.submit_many`."""
        return await self.app.submit_many(pipeline, inputs, **options)

    # --- work -------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def worker(
        self,
        *,
        concurrency: int = 10,
        queues: Iterable[str] | None = None,
        timing: Timing | None = None,
        app: Headrace | None = None,
    ) -> AsyncIterator[RunningWorker]:
        """Run a worker in this process inside an `async with` block; it claims when that begins.

        At the end of the block running steps get the grace time, 2 s; if the block fails, none.

        Args:
            concurrency: Jobs at once.
            queues: Which queues it serves; those of the settings if left out.
            timing: In place of the engine's.
            app: In place of the engine's; see `app_with`.
        """
        worker = (app or self.app).worker(
            queues=queues, concurrency=concurrency, timing=timing or self._timing
        )
        async with running(worker) as beside:
            self._workers.append(beside)
            try:
                yield beside
            finally:
                self._workers.remove(beside)

    async def run_until_empty(
        self,
        timeout: float | timedelta = 10.0,
        *,
        concurrency: int = 10,
        skip_waits: bool = False,
    ) -> None:
        """Run jobs until none is left to run: those that wait for a retry are waited for.

        A worker is started for it, unless one runs in a `worker` block. Jobs that were submitted
        for a later time do not count before that time, nor do those that wait for a signal, or for
        a child job that does: nothing happens to them before somebody sends it.

        Args:
            timeout: The longest wait, seconds or a timedelta.
            concurrency: Jobs at once.
            skip_waits: Move the clock whenever all that is left waits for its time, so that a
                retry after five minutes, or a step's delay, is a matter of milliseconds. The time
                of signals runs out, too: send before what is to come in time.

        Raises:
            NotEmptyError: The time is over, or the worker has ended because abandoned steps fill
                its slots; the text says what is left, and why.
        """
        seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        async with contextlib.AsyncExitStack() as exits:
            if not any(worker.is_running for worker in self._workers):
                await exits.enter_async_context(self.worker(concurrency=concurrency))
            await self._wait_until_empty(seconds, skip_waits=skip_waits)

    async def _wait_until_empty(self, seconds: float, *, skip_waits: bool) -> None:
        end = monotonic() + seconds
        while left := await self._unfinished(with_timeouts=skip_waits):
            if skip_waits and (wait := left.skippable) is not None:
                await self.move_clock(wait)
            elif not any(worker.is_running for worker in self._workers):
                raise NotEmptyError(f"the worker has ended:\n{left.describe()}")
            elif monotonic() > end:
                raise NotEmptyError(f"not empty after {seconds:g} s:\n{left.describe()}")
            await asyncio.sleep(LOOK_S)

    async def _unfinished(self, *, with_timeouts: bool) -> Unfinished:
        carried = {pipeline.name for pipeline in self._pipelines}
        async with self.connection() as connection:
            return await unfinished(connection, carried, with_timeouts=with_timeouts)

    async def run_schedules(self, app: Headrace | None = None) -> list[JobHandle[Any]]:
        """Submit the jobs of all slots that are due by the engine's clock; workers do so, too.

        The first call defines the schedules: their slots count from then on.

            await engine.run_schedules()
            await engine.move_clock(timedelta(days=1))
            [report] = await engine.run_schedules()

        Args:
            app: In place of the engine's; see `app_with`.

        Returns:
            The jobs, in the order of their submission.
        """
        asked = app or self.app
        worker = asked.worker(timing=self._timing)
        try:
            return [asked.job(job) for job in await worker.submit_scheduled()]
        finally:
            await worker.close()

    async def move_clock(self, by: timedelta, *, keep_leases: bool = True) -> None:
        """Let the engine's clock jump ahead: what waits until then is due.

        Due times, deadlines, leases and retention follow this clock; time limits of running steps
        follow the real one.

        Args:
            by: How far; clocks do not go back.
            keep_leases: Whether workers that live keep their leases. Without that each worker
                looks as if it had been silent for so long.

        Raises:
            InvalidError: `by` is negative.
        """
        if by < timedelta():
            raise InvalidError("the clock is moved forward only")
        async with self.connection() as connection:
            await move_clock(connection, by, keep_leases=keep_leases)
            await connection.execute(SQL["testing.ring_all"])

    # --- crashes ----------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def spawn(
        self,
        app: str,
        *,
        concurrency: int = 10,
        queues: Iterable[str] | None = None,
        timing: Timing | None = None,
        failpoint: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> AsyncIterator[WorkerProcess]:
        """Run a worker in a process of its own inside an `async with` block, to kill or stop it.

        At the end of the block it is killed, if it still runs.

        Args:
            app: `module:attribute` of a `Headrace`, a pipeline or a list of them; it is imported in
                the new process, in which only its pipelines are used.
            concurrency: Jobs at once.
            queues: Which queues it serves.
            timing: In place of the engine's.
            failpoint: Where it ends, freezes or fails: see `headrace.store.failpoints`.
            environment: More variables for it.

        Raises:
            RuntimeError: It ended before it claimed; the text is what it logged.
        """
        orders = self._orders(app, concurrency, queues, timing)
        process = await WorkerProcess.start(orders, failpoint=failpoint, environment=environment)
        try:
            await process.wait_until_started()
            yield process
        finally:
            await process.close()

    async def crash_at(
        self, point: str, app: str, *, nth: int = 1, timeout: float = 20.0, concurrency: int = 10
    ) -> None:
        """Run a worker process that dies by SIGKILL at a write point, and return when it is dead.

        Its jobs stay as it left them; the next worker finds and resumes them. The points:
        `claim.after_commit`; `attempt.after_effect`, when a step has returned and nothing of it is
        stored; `ledger.KIND.before` and `ledger.KIND.after_commit`, around a group commit, KIND one
        of `finish` (a last step and its job), `checkpoint` (other steps) and `change` (everything
        else: failures, retries, skips, plans of fan-outs, `once` records).

        Args:
            point: Where it dies.
            app: See `spawn`.
            nth: At which time it comes there.
            timeout: Seconds in which it has to come there, its start included.
            concurrency: Jobs at once.

        Raises:
            TimeoutError: It did not come there; the text is what it logged.
            RuntimeError: It ended otherwise; the text is what it logged.
        """
        orders = self._orders(app, concurrency, None, None)
        process = await WorkerProcess.start(orders, failpoint=f"{point}:{nth}:kill")
        try:
            code = await process.wait(timeout)
            if code != -signal.SIGKILL:
                raise RuntimeError(f"it ended with {code}, not at {point}:\n{process.output}")
        except TimeoutError:
            problem = f"{point} was not reached within {timeout:g} s:\n{process.output}"
            raise TimeoutError(problem) from None
        finally:
            await process.close()

    # --- its parts --------------------------------------------------------------------------------

    def _orders(
        self,
        app: str,
        concurrency: int,
        queues: Iterable[str] | None,
        timing: Timing | None,
    ) -> Orders:
        return Orders(
            app=app,
            database=self.database,
            artifacts=str(self._folder),
            concurrency=concurrency,
            queues=None if queues is None else tuple(queues),
            timing=seconds_of(timing or self._timing),
        )
