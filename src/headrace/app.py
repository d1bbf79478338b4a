"""The composition root: the only place that names adapters and reads settings."""

from __future__ import annotations

import asyncio
import contextlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from headrace import __version__, wiring
from headrace.broker.postgres import PostgresBroker
from headrace.client.client import Client
from headrace.client.submission import Limits
from headrace.errors import InvalidError
from headrace.model.carried import check_carried
from headrace.reliability.shared import Shared
from headrace.store.artifacts import FolderArtifacts
from headrace.store.connections import Connections
from headrace.store.migrate import ENGINE, Series, check_schema, migrate
from headrace.store.pool import Pool, connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from types import TracebackType

    from headrace.broker.messaging import Messaging
    from headrace.client.webhooks import Webhooks
    from headrace.inbox.inbox import Inbox
    from headrace.inbox.quarantine import Quarantine
    from headrace.inbox.sources import Sources
    from headrace.model.pipeline import Pipeline
    from headrace.settings import Settings
    from headrace.store.breakers import Rules
    from headrace.store.embedded import EmbeddedDatabase
    from headrace.store.migrate import Migration
    from headrace.store.pool import HeldConnection
    from headrace.worker.timing import Timing
    from headrace.worker.worker import Worker

ADDRESS_VARIABLES: Final = (
    "HEADRACE_DIRECT_DATABASE_URL",
    *(f"HEADRACE_DB_{part}" for part in ("HOST", "PORT", "NAME", "USER", "PASSWORD")),
)
"""What says where the environment's database is: nothing about one that is given in code."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the database is: its address, and the one past a pooler."""

    dsn: str
    direct_dsn: str


class Headrace(Shared, Client):
    """An application: its pipelines on one database.

    It connects when it is first used, so it can be made when a module is imported. In a program
    that ends, use `async with app:` or `await app.close()`.
    """

    def __init__(
        self,
        pipelines: Iterable[Pipeline[Any, Any]],
        *,
        database: str | None = None,
        settings: Settings | None = None,
    ) -> None:
        """Check the pipelines; nothing is connected or read.

        Args:
            pipelines: What can be submitted and run.
            database: Address of a PostgreSQL; if left out, HEADRACE_DATABASE_URL; without that an
                embedded database of the project, which is the current folder.
            settings: In place of the environment's.

        Raises:
            DefinitionError: A pipeline has no steps or no step returns its output.
            InvalidError: Two pipelines have the same name.
        """
        carried = tuple(pipelines)
        check_carried(carried)
        self._database, self._given = database, settings
        self._place: Place | None = None
        self._embedded: EmbeddedDatabase | None = None
        self._opening = asyncio.Lock()
        self._pool: Pool | None = None
        connections = Connections(self._connect, most=lambda: self.settings.db_pool_max)
        super().__init__(
            connections,
            PostgresBroker(connections),
            pipelines=carried,
            limits=lambda: self._submit_limits,
            artifacts=lambda: self.artifacts,
            links=wiring.links_of(self),
        )

    def __repr__(self) -> str:
        return f"<Headrace: {', '.join(self._pipelines)}>"

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    @cached_property
    def settings(self) -> Settings:
        """The settings that hold; read when they are first asked for.

        Raises:
            SettingsError: A setting is not accepted.
        """
        if self._given is not None:
            return self._given
        from headrace.settings import load_settings  # noqa: PLC0415 - it costs 0.1 s

        if self._database is None:
            return load_settings()
        environment = {
            name: text for name, text in os.environ.items() if name not in ADDRESS_VARIABLES
        }
        return load_settings({**environment, "HEADRACE_DATABASE_URL": self._database})

    # --- life -------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Find the database, start it where it is the embedded one, and check its schema.

        Any other call does this when it is the first.

        Raises:
            SchemaError: The schema is older or newer than this version: run `headrace migrate`.
                The embedded database, and any in development, is brought up to date instead.
            DatabaseUnavailableError: No server answered.
            SettingsError: A setting is not accepted.
        """
        self._connections.reopen()
        place = await self._find_place()
        if self._pool is None:
            self._pool = Pool(
                place.dsn, name="headrace steps", smallest=0, largest=self.settings.db_pool_max
            )
            await self._pool.open()

    async def close(self) -> None:
        """Close everything that was opened; `open` opens it again."""
        await super().close()
        await self._close_shared()
        if "messaging" in self.__dict__:
            await self.messaging.close()
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()
        embedded, self._embedded, self._place = self._embedded, None, None
        if embedded is not None:
            await asyncio.to_thread(embedded.stop)

    async def migrate(self) -> tuple[Migration, ...]:
        """Bring the schema of the database up to this version, with the tables of the pipelines.

        Returns:
            The migrations that were applied.

        Raises:
            ConflictError: The database has other migrations, or one says why it cannot be applied.
        """
        async with self._opening:
            place = self._place or await self._locate()
        return await self._migrate(place)

    @property
    def migrations(self) -> tuple[Series, ...]:
        """The engine's migrations, and those of each pipeline that has tables of its own."""
        return ENGINE, *(
            Series(pipeline.migrations, pipeline.name)
            for pipeline in self._pipelines.values()
            if pipeline.migrations is not None
        )

    async def _migrate(self, place: Place) -> tuple[Migration, ...]:
        applied: tuple[Migration, ...] = ()
        for series in self.migrations:
            applied += await migrate(place.direct_dsn, series)
        return applied

    @contextlib.asynccontextmanager
    async def connection(self, *, wait_s: float = 30.0) -> AsyncIterator[HeldConnection]:
        """Hold a connection to the database inside an `async with` block: an asyncpg one.

        For what belongs together with jobs, as `submit(..., connection=connection)` inside
        `connection.transaction()`, or for tables of one's own. It has the engine's limits: 10 s a
        statement, 3 s for a lock.

        Args:
            wait_s: Seconds to wait for one that is free, where all are in use.

        Raises:
            DatabaseUnavailableError: No server answered, or none came free in time.
        """
        async with self._connections.use(wait_s=wait_s) as connection:
            yield connection

    async def connect(
        self, purpose: str, *, settings: dict[str, str] | None = None
    ) -> HeldConnection:
        """Open a connection of the caller's own to the database itself, past a pooler.

        For what holds one as long as it lives, as LISTEN does. Who opened it closes it.

        Args:
            purpose: Shown in `pg_stat_activity`, after `headrace`.
            settings: Server settings that differ from the usual ones.

        Raises:
            DatabaseUnavailableError: No server answered within 5 s.
        """
        place = await self._find_place()
        return await connect(place.direct_dsn, name=f"headrace {purpose}", settings=settings)

    async def _open_pool(self) -> Pool:
        await self.open()
        if self._pool is None:
            raise InvalidError("the app was closed meanwhile")
        return self._pool

    def _breaker_rules(self) -> Rules:
        return wiring.breaker_rules(self.settings)

    @property
    def connections_in_use(self) -> tuple[int, int, int]:
        """Connections of submissions and questions: in use, open, the most that there may be."""
        return self._connections.usage

    async def _find_place(self) -> Place:
        if self._place is not None:
            return self._place
        async with self._opening:
            if self._place is None:
                place = await self._locate()
                if self._embedded is not None or self.settings.env == "development":
                    await self._migrate(place)
                else:
                    await self._check_schema(place)
                if self.settings.doorbell == "pubsub":
                    self._use_broker(self.messaging.broker)
                self._place = place
        return self._place

    @cached_property
    def messaging(self) -> Messaging:
        """What this process has to do with Pub/Sub; nothing is connected before it is used.

        Raises:
            SettingsError: There is no project, or `headrace[pubsub]` is not installed.
        """
        return wiring.messaging_of(self.settings)

    async def _check_schema(self, place: Place) -> None:
        connection = await connect(place.dsn, name="headrace start")
        try:
            for series in self.migrations:
                await check_schema(connection, series)
        finally:
            await connection.close()

    async def _locate(self) -> Place:
        dsn = self._database or self.settings.database_address()
        if dsn is not None:
            return Place(dsn, self.settings.direct_database_address() or dsn)
        if self._embedded is None:
            from headrace.store.embedded import EmbeddedDatabase  # noqa: PLC0415 - seldom needed

            self._embedded = EmbeddedDatabase(Path.cwd(), data_folder=self.settings.data_dir)
        dsn = await asyncio.to_thread(self._embedded.start)
        return Place(dsn, dsn)

    async def _connect(self) -> HeldConnection:
        place = await self._find_place()
        return await connect(place.dsn, name="headrace client")

    @cached_property
    def _submit_limits(self) -> Limits:
        settings = self.settings
        return Limits(
            timedelta(seconds=settings.priority_step_s),
            settings.max_payload_bytes,
        )

    @cached_property
    def artifacts(self) -> FolderArtifacts:
        """Where outputs lie that are too large for the database."""
        from headrace.store.embedded.home import base_folder  # noqa: PLC0415 - seldom needed

        settings = self.settings
        folder = base_folder(Path.cwd(), settings.data_dir) / "artifacts"
        return FolderArtifacts(folder, self._connections, most_bytes=settings.artifact_max_bytes)

    @cached_property
    def signing_keys(self) -> tuple[bytes, ...]:
        """What keys of signatures are made from, the newest first; empty where nothing is signed.

        Those of the settings; for the embedded database one of its own, made when it is needed.
        """
        settings = self.settings
        keys = tuple(key.get_secret_value().encode() for key in settings.signing_keys)
        if keys or self._database is not None or not settings.embedded:
            return keys
        from headrace.store.embedded.home import base_folder  # noqa: PLC0415 - seldom needed
        from headrace.store.embedded.signing_key import read_signing_key  # noqa: PLC0415 - as above

        return (read_signing_key(base_folder(Path.cwd(), settings.data_dir)),)

    @cached_property
    def webhooks(self) -> Webhooks:
        """Who is told by HTTP of what happens to jobs: made, listed, given new keys."""
        from headrace.client.webhooks import Webhooks  # noqa: PLC0415 - seldom needed

        return Webhooks(
            self._connections,
            keys=lambda: self.signing_keys,
            private_hosts=lambda: self.settings.webhook_private_hosts,
        )

    @cached_property
    def sources(self) -> Sources:
        """Which other systems may submit jobs by message: made, listed, given new keys."""
        from headrace.inbox.sources import Sources  # noqa: PLC0415 - seldom needed

        return Sources(self._connections, lambda: self.signing_keys)

    @cached_property
    def inbox(self) -> Inbox:
        """What takes messages that submit jobs."""
        from headrace.inbox.inbox import Inbox  # noqa: PLC0415 - seldom needed

        settings = self.settings
        return Inbox(
            self,
            self.connection,
            keys=self.signing_keys,
            most_bytes=(settings.max_json_bytes, settings.max_payload_bytes),
        )

    @cached_property
    def quarantine(self) -> Quarantine:
        """Messages that were not taken: looked at, taken after all, deleted."""
        from headrace.inbox.quarantine import Quarantine  # noqa: PLC0415 - seldom needed

        return Quarantine(self.connection, lambda: self.inbox)

    # --- work -------------------------------------------------------------------------------------

    def worker(
        self,
        *,
        queues: Iterable[str] | None = None,
        concurrency: int | None = None,
        timing: Timing | None = None,
        reference: str | None = None,
    ) -> Worker:
        """A worker for the pipelines of this app; `await worker.run()` runs it.

        Args:
            queues: Which queues it serves; those of the settings if left out.
            concurrency: Jobs at once; that of the settings if left out.
            timing: Other durations than those of the settings, for tests.
            reference: This app as `module:attribute`, by which processes of steps find it; if left
                out they find steps by the modules of their functions.

        Raises:
            InvalidError: The app is not open.
        """
        if self._place is None or self._pool is None:
            raise InvalidError("open the app first: `async with app:` or `await app.open()`")
        return self._make_worker(
            self._place,
            self._pool,
            queues=queues,
            concurrency=concurrency,
            timing=timing or self.settings.timing(),
            reference=reference,
        )

    def run_worker(
        self, *, queues: Iterable[str] | None = None, concurrency: int | None = None
    ) -> int:
        """Run a worker in this process until SIGTERM or Ctrl-C: for programs without a loop.

        Running steps get the grace time to finish; a second signal ends them at once. Where a step
        will not stop at all, the process is ended here and now.

        Returns:
            The exit code for the process.
        """
        return asyncio.run(wiring.run_worker(self, queues, concurrency))

    def _make_worker(
        self,
        place: Place,
        pool: Pool,
        *,
        queues: Iterable[str] | None,
        concurrency: int | None,
        timing: Timing,
        reference: str | None,
    ) -> Worker:
        # By name and late: a program that only submits jobs needs none of it.
        from headrace.worker.artifacts import AttemptArtifacts  # noqa: PLC0415
        from headrace.worker.parts import Parts  # noqa: PLC0415
        from headrace.worker.worker import Worker  # noqa: PLC0415

        settings = self.settings
        jobs_at_once = concurrency or settings.concurrency
        by_messages = settings.doorbell == "pubsub"
        return Worker(
            Parts(
                direct_dsn=place.direct_dsn,
                pool=pool,
                client=self,
                artifacts=AttemptArtifacts(self.artifacts),
                hub=self.hub,
                locks=self.locks,
                pipelines=self._pipelines,
                threads=ThreadPoolExecutor(jobs_at_once, thread_name_prefix="headrace step"),
                version=__version__,
                queues=tuple(queues or settings.queues),
                concurrency=jobs_at_once,
                claim_batch=settings.claim_batch,
                listen=settings.doorbell == "listen",
                broker=self.messaging.broker if by_messages else None,
                doorbell=self.messaging.doorbell if by_messages else None,
                intake=wiring.intake_for(
                    self.signing_keys, settings, lambda: self.inbox, lambda: self.messaging
                ),
                charges=settings.max_lease_losses,
                head_start_s=settings.priority_step_s,
                job_timeout_s=settings.job_timeout_s,
                processes=wiring.step_processes(self._pipelines, reference, timing, jobs_at_once),
                timing=timing,
                per_endpoint=settings.webhook_concurrency,
                senders=wiring.senders_for(self.signing_keys, settings, lambda: self.messaging),
                limits=wiring.work_limits(settings),
                retention=wiring.retention_rules(settings),
            )
        )
