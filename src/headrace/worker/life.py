"""A worker's life under one identity: from its registration until it stops or is marked lost."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import platform
import random
from typing import TYPE_CHECKING, Any

import orjson

from headrace.errors import DatabaseUnavailableError
from headrace.store.lanes import register
from headrace.store.ledger import Ledger
from headrace.store.pool import connect
from headrace.store.session import ENGINE_SETTINGS, Session
from headrace.store.sql import SQL
from headrace.store.workers import WorkerIdentity, next_worker
from headrace.telemetry.events import emit
from headrace.telemetry.worker_events import WorkerDraining, WorkerStarted, WorkerStopped
from headrace.worker.claimer import Claimer
from headrace.worker.engine import Engine
from headrace.worker.executor import Executor
from headrace.worker.heartbeat import PresenceListener
from headrace.worker.lease import Standing
from headrace.worker.listening import streams_of
from headrace.worker.overseer import Overseer
from headrace.worker.presence import Presence
from headrace.worker.progress import ProgressNotes
from headrace.worker.settling import Policy
from headrace.worker.upkeep import upkeep

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType
    from uuid import UUID

    from headrace.store.entries import RecordRow
    from headrace.store.pool import HeldConnection
    from headrace.worker.attempt import Attempt
    from headrace.worker.attending import Attending
    from headrace.worker.parts import Parts
    from headrace.worker.service import Service


class Life(PresenceListener):
    """Everything that bears one worker number.

    Attributes:
        over: Set when the life should end: it was lost, or asked to drain.
        lost: Whether its jobs are others' by now.
        has_begun: Whether it claims, or did.
    """

    def __init__(self, parts: Parts, *, most: int | None = None) -> None:
        self._parts, self._most = parts, most
        self.over = asyncio.Event()
        self.lost = self.has_begun = self.crowded = False
        self._services: list[Service] = []
        self._streams: list[Attending] = []
        self._emptied = asyncio.Event()

    # --- its beginning ----------------------------------------------------------------------------

    async def start(self) -> None:
        """Register, and begin to claim."""
        parts = self._parts
        async with parts.pool.acquire() as connection:
            self.number = await next_worker(connection)
            for pipeline in parts.pipelines.values():
                await register(connection, pipeline)
        self.ledger = Ledger(
            self._connect_for("ledger"),
            worker=self.number,
            head_start_s=parts.head_start_s,
            most=parts.limits.ledger_most,
            room=parts.limits.ledger_room,
        )
        policy = Policy(
            parts.timing.wait_in_place.total_seconds(), parts.limits.max_wait_s, random.random
        )
        self.executor = self._make_executor(policy)
        self._make_services(self.number)
        self.presence = self._make_presence()
        await self.presence.start()
        self.ledger.start()
        for service in self._services:
            service.start()
        self.has_begun = True
        self._tell_started()

    def _make_executor(self, policy: Policy) -> Executor:
        return Executor(
            self._make_engine(), self.ledger, policy, on_room=self._ring, ask_lease=self._has_lease
        )

    def _make_engine(self) -> Engine:
        parts = self._parts
        return Engine(
            worker=self.number,
            loop=asyncio.get_running_loop(),
            pool=parts.pool,
            client=parts.client,
            artifacts=parts.artifacts,
            hub=parts.hub,
            locks=parts.locks,
            threads=parts.threads,
            processes=parts.processes,
            timing=parts.timing,
            limits=parts.limits,
            store_record=self._store_record,
            clients=parts.clients,
        )

    def _make_presence(self) -> Presence:
        return Presence(
            self._parts.direct_dsn,
            self._identity(self.number),
            self._parts.timing,
            listener=self,
            running=lambda: self.executor.busy,
            lanes=lambda: list(self.claimer.lanes),
            steps=self._running_steps,
            functions=self._functions(),
        )

    def _tell_started(self) -> None:
        parts = self._parts
        emit(
            WorkerStarted(
                worker_id=str(self.number),
                version=parts.version,
                host=platform.node(),
                pid=os.getpid(),
                concurrency=parts.concurrency,
                queues=parts.queues,
                pipelines=tuple(parts.pipelines),
                doorbell=parts.doorbell_name,
                presence=self.presence.is_direct,
            )
        )

    def _store_record(self, attempt: Attempt, row: RecordRow) -> asyncio.Future[None]:
        return self.executor.store_record(attempt, row)

    def _make_services(self, number: int) -> None:
        parts = self._parts
        self.claimer = Claimer(
            self._connect_for("claims"),
            worker=number,
            pipelines=parts.pipelines,
            queues=parts.queues,
            executor=self.executor,
            ledger=self.ledger,
            timing=parts.timing,
            concurrency=parts.concurrency,
            batch=parts.claim_batch,
            listen=parts.listen,
            job_timeout_s=parts.job_timeout_s,
            most=self._most,
        )
        self._overseer = Overseer(
            self.executor,
            worker=number,
            timing=parts.timing,
            concurrency=parts.concurrency,
            on_crowded=self._on_crowded,
        )
        self._session = Session(self._connect_for("upkeep"))
        self._streams = streams_of(parts, self.claimer, number)
        self._services = [
            self.claimer,
            self._overseer,
            ProgressNotes(self.executor, worker=number, timing=parts.timing),
            *upkeep(parts, number, self._session),
            *self._streams,
        ]

    def _identity(self, number: int) -> WorkerIdentity:
        parts = self._parts
        carries = {name: pipeline.version for name, pipeline in parts.pipelines.items()}
        return WorkerIdentity(
            id=number,
            host=platform.node(),
            pid=os.getpid(),
            version=parts.version,
            queues=parts.queues,
            carries=orjson.dumps(carries).decode(),
            concurrency=parts.concurrency,
        )

    def _connect_for(self, duty: str) -> Any:  # noqa: ANN401 - a function that connects
        async def connect_one() -> HeldConnection:
            return await connect(
                self._parts.direct_dsn,
                name=f"headrace worker {self.number}: {duty}",
                settings=ENGINE_SETTINGS,
            )

        return connect_one

    def _running_steps(self) -> list[tuple[UUID, str]]:
        return [
            (run.claim.job, step)
            for run in list(self.executor.runs.values())
            for step, _ in list(run.running)
        ]

    def _functions(self) -> dict[CodeType, str]:
        return {
            inspect.unwrap(step.function).__code__: f"{pipeline.name}.{step.name}"
            for pipeline in self._parts.pipelines.values()
            for step in pipeline.steps.values()
            if hasattr(inspect.unwrap(step.function), "__code__")
        }

    # --- its end ----------------------------------------------------------------------------------

    async def wait_until_empty(self, pause_s: float = 0.2) -> None:
        """Return when nothing runs, and nothing waits but what is scheduled for later."""
        await asyncio.gather(*(service.first_pass() for service in self._services))
        while True:
            await self.claimer.idle.wait()
            if await self._nothing_left() and self.claimer.idle.is_set():
                return
            await asyncio.sleep(pause_s)

    async def wait_until_spent(self) -> None:
        """Return when as many jobs were taken as there may be, or none was due, and all ended."""
        await self.claimer.spent.wait()
        while self.executor.runs:
            self._emptied.clear()
            await self._emptied.wait()

    async def _nothing_left(self) -> bool:
        async with self._parts.pool.acquire() as connection:
            left = await connection.fetchval(SQL["claims.work_left"], list(self.claimer.lanes))
        return not left and not self.executor.runs

    async def hand_over(self, hurry: asyncio.Event) -> None:
        """Let running steps finish for the grace time, then stop them, and release every job."""
        timing, executor = self._parts.timing, self.executor
        self.claimer.close_intake()
        for stream in self._streams:
            stream.leave()
        emit(WorkerDraining(worker_id=str(self.number), reason="stop", running=executor.busy))
        executor.halt("shutdown")
        with contextlib.suppress(TimeoutError):  # its jobs would have to be found again by others
            async with asyncio.timeout(timing.release.total_seconds()):
                await self.claimer.finish_claim()
        executor.advance_all(list(executor.runs.values()))
        await self._wait_empty(timing.shutdown_grace.total_seconds(), hurry)
        for run in list(executor.runs.values()):
            executor.cancel_all(run, "shutdown")
        executor.advance_all(list(executor.runs.values()))
        # Half of the time for steps that stop, the other for handing back the jobs of the rest.
        await self._wait_empty(timing.release.total_seconds() / 2, None)
        self._overseer.abandon_all()
        await self._wait_empty(timing.release.total_seconds() / 2, None)

    @property
    def has_stuck_steps(self) -> bool:
        """Whether steps still run that were told to stop."""
        executor = self.executor
        return executor.abandoned > 0 or any(run.running for run in executor.runs.values())

    async def end(self) -> None:
        """Sign off and close what this identity held."""
        await asyncio.gather(*(service.stop() for service in self._services))
        if not self.lost:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._parts.timing.release.total_seconds()):
                    await self.ledger.flush()
        await asyncio.gather(self.ledger.stop(), self.executor.engine.close())
        if not self.lost:
            await self._drop_claims()
            self._ring_for_released()
        await self.presence.stop()
        self._session.close()
        emit(
            WorkerStopped(
                worker_id=str(self.number),
                reason="lost" if self.lost else "stop",
                completed=self.executor.completed,
                released=self.executor.released,
            )
        )

    def _ring_for_released(self) -> None:
        """Tell others of jobs that were handed back, where they would wait for a poll."""
        released, broker = self.executor.released, self._parts.broker
        if released and broker is not None:
            for queue in self._parts.queues:
                broker.ring(queue, released)

    async def _drop_claims(self) -> None:
        """Leave no claim behind under which nothing runs; a job that still runs is recovered."""
        with contextlib.suppress(DatabaseUnavailableError):
            async with self._parts.pool.acquire() as connection:
                await connection.execute(SQL["claims.drop_idle_claims"], self.number, [])

    async def _wait_empty(self, limit_s: float, hurry: asyncio.Event | None) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + limit_s
        while self.executor.runs and loop.time() < end and not self.lost:
            if hurry is not None and hurry.is_set():
                return
            self._emptied.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(0.1, max(0.0, end - loop.time()))):
                    await self._emptied.wait()

    def obstacles(self) -> tuple[str, ...]:
        """Why it takes no jobs, or may fail to look after them, a few words each; none is good."""
        found = [one.obstacle for one in self._services if not one.is_healthy]
        if not self.presence.is_healthy:
            found.insert(0, "the lease is not renewed")
        if self.lost or self.over.is_set():
            found.insert(0, "it is ending")
        return tuple(found)

    def _has_lease(self) -> bool:
        return self.presence.standing is Standing.HELD

    # --- what it is told --------------------------------------------------------------------------

    def _ring(self) -> None:
        self.claimer.ring()
        self._emptied.set()

    def _on_crowded(self) -> None:
        self.crowded = True
        self.over.set()

    def on_lost(self) -> None:
        """As `PresenceListener.on_lost`."""
        self.lost = True
        self.claimer.close_intake()
        self.executor.halt("stale")
        self.executor.lose_all()
        self._parts.locks.lose_all(self.number)
        self.ledger.drop_all()
        self.over.set()

    def on_draining(self) -> None:
        """As `PresenceListener.on_draining`."""
        self.over.set()

    def on_cancel(self, requests: Sequence[tuple[UUID, int]]) -> None:
        """As `PresenceListener.on_cancel`."""
        for job, token in requests:
            self.executor.cancel_job(job, token)

    def on_unreachable(self, standing: Standing) -> None:
        """As `PresenceListener.on_unreachable`."""
        if self.executor.halted in {None, "unreachable"}:
            self.executor.halt("unreachable")
            if standing is Standing.CANCEL:
                for run in list(self.executor.runs.values()):
                    self.executor.cancel_all(run, "unreachable")

    def on_reachable(self) -> None:
        """As `PresenceListener.on_reachable`."""
        self.executor.resume()
        self.claimer.ring()
