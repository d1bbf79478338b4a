"""Where steps with `runs_in="process"` run: warm processes, as many as run at once."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from headrace.worker.outcomes import Failed
from headrace.worker.processes.catalogue import Origin
from headrace.worker.processes.conversation import Conversation, death_of
from headrace.worker.processes.nursery import Ending, Nursery, ProcessStartError, StepProcess
from headrace.worker.processes.wire import Frame

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from headrace.model.pipeline import Pipeline
    from headrace.worker.attempt import Attempt
    from headrace.worker.context import AsyncContext
    from headrace.worker.outcomes import Outcome
    from headrace.worker.timing import Timing

KILL_AT: Final = 0.8
"""Of `cancel_kill`: then the process is killed, so that its step is never taken for abandoned."""
STOP_AT: Final = 0.4
"""Of `release`: so long goes on a step that has not ended in the grace time of a worker's end."""
STOP_S: Final = 0.8
"""For so long an idle process may close its clients."""
DEATH_S: Final = 1.0
"""A process that was killed is gone by then."""


class StepProcesses:
    """The step processes of one worker.

    A process is forked when an attempt finds none idle, and then kept. It is replaced when a step
    has hit its memory limit, was killed, left threads or children behind, or let it grow.
    """

    def __init__(
        self,
        app: str | None,
        pipelines: Iterable[Pipeline[Any, Any]] | Mapping[str, Pipeline[Any, Any]],
        *,
        timing: Timing,
        most: int,
    ) -> None:
        """Nothing is started before the first attempt.

        Args:
            app: Reference of the app, `module:attribute`. None: steps are found by the modules of
                their functions, in which their pipelines must have a name.
            pipelines: What the worker carries.
            timing: Its `cancel_kill` and `release` limit how long a cancelled step may go on.
            most: Processes at once; further attempts wait for one, which counts to no limit of
                theirs. As many as the worker runs jobs is right for steps that wait, the number of
                processors for steps that compute.
        """
        values = pipelines.values() if isinstance(pipelines, Mapping) else pipelines
        self._app, self._pipelines = app, {pipeline.name: pipeline for pipeline in values}
        self._grace_s = timing.cancel_kill.total_seconds() * KILL_AT
        self._last_s = min(self._grace_s, timing.release.total_seconds() * STOP_AT)
        self._room = asyncio.Semaphore(most)
        self._idle: list[StepProcess] = []
        self._nursery: Nursery | None = None
        self._starting = asyncio.Lock()
        self._is_closed = False

    async def run(
        self, attempt: Attempt, texts: Mapping[str, str], context: AsyncContext
    ) -> Outcome:
        """Run an attempt in a process.

        When the task is cancelled by `attempt.cancel`, the step is told, may still return, and is
        killed 0.8 times `timing.cancel_kill` later; at the end of a worker after 0.4 times
        `timing.release`, so that the job is handed back in time; at once where the job has another
        holder, or nobody gave a cause. The attempt's time begins when a process is there.

        Args:
            attempt: What to run.
            texts: The stored form of each of its parameters that is data.
            context: Does what the step asks of the engine.

        Returns:
            As an attempt in a thread; a process that died is a failure like any other.

        Raises:
            CancelledError: It was cancelled, and had to be killed.
        """
        limit_s, attempt.deadline = attempt.deadline - attempt.started, math.inf
        try:
            async with self._process() as process:
                attempt.started = monotonic()
                attempt.deadline = attempt.started + limit_s
                return await self._converse(process, attempt, texts, context)
        except ProcessStartError as error:
            return Failed("unknown", "PROCESS_START", str(error), error.detail)
        finally:
            if attempt.deadline == math.inf:
                attempt.deadline = attempt.started + limit_s

    async def close(self) -> None:
        """End all processes, within 2 s; idle ones close their clients first."""
        self._is_closed = True
        idle, self._idle = self._idle, []
        for process in idle:
            process.tell(Frame("stop"))
        if idle:
            await asyncio.wait([process.ended for process in idle], timeout=STOP_S)
        nursery, self._nursery = self._nursery, None
        if nursery is not None:
            await nursery.close()

    # --- processes --------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _process(self) -> AsyncIterator[StepProcess]:
        """Hold a process, an idle one or a new one."""
        async with self._room:
            process = self._take_idle() or await self._fork()
            try:
                yield process
            finally:
                self._give_back(process)

    def _take_idle(self) -> StepProcess | None:
        while self._idle:
            process = self._idle.pop()
            if not process.ended.done():
                return process
        return None

    async def _fork(self) -> StepProcess:
        async with self._starting:
            if self._is_closed:
                raise ProcessStartError("the worker is stopping")
            if self._nursery is not None and self._nursery.has_ended:
                await self._nursery.close()
                self._nursery = None
            if self._nursery is None:
                self._nursery = Nursery(Origin.of(self._app, self._pipelines))
            nursery = self._nursery
        return await nursery.fork()

    def _give_back(self, process: StepProcess) -> None:
        if process.ended.done():
            return
        if not process.is_spent and not self._is_closed:
            self._idle.append(process)
            return
        process.tell(Frame("stop"))
        asyncio.get_running_loop().call_later(STOP_S, self._kill, process)

    def _kill(self, process: StepProcess) -> None:
        if self._nursery is not None and not process.ended.done():
            self._nursery.kill(process)

    # --- attempts ---------------------------------------------------------------------------------

    async def _converse(
        self,
        process: StepProcess,
        attempt: Attempt,
        texts: Mapping[str, str],
        context: AsyncContext,
    ) -> Outcome:
        conversation = Conversation(process, attempt, context, self._pipelines)
        # A task of its own: the attempt's is cancelled, while the step is still listened to.
        talking = asyncio.get_running_loop().create_task(conversation.hold(texts))
        try:
            return await self._result(process, attempt, talking)
        finally:
            if not talking.done():
                process.is_spent = True
                self._kill(process)
                talking.cancel()
                await asyncio.wait([process.ended], timeout=DEATH_S)

    async def _result(
        self, process: StepProcess, attempt: Attempt, talking: asyncio.Task[Outcome | None]
    ) -> Outcome:
        try:
            await asyncio.wait({talking})
        except asyncio.CancelledError:
            if attempt.cause is None:
                raise
            process.tell(Frame("cancel"))
            await asyncio.wait({talking}, timeout=self._patience_s(attempt))
            if not talking.done():
                raise
        return talking.result() or death_of(attempt.step, await self._end(process))

    def _patience_s(self, attempt: Attempt) -> float:
        """How long a step may go on that was told to stop."""
        if attempt.cause == "stale":  # another worker may be running it by now
            return 0.0
        limit_s = self._last_s if attempt.cause == "shutdown" else self._grace_s
        now = monotonic()
        return max(0.0, limit_s - (now - (attempt.cancelled_at or now)))

    async def _end(self, process: StepProcess) -> Ending:
        """How a process ended whose line is closed."""
        process.is_spent = True
        await asyncio.wait({process.ended}, timeout=DEATH_S)
        if process.ended.done():
            return process.ended.result()
        self._kill(process)  # it lives, but cannot be heard any more
        return Ending()
