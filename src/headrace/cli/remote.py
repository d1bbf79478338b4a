"""A remote API in the place of the app: the same questions, and answers of the same shape."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

from headrace.cli.exits import ExitCode
from headrace.errors import ConflictError, HeadraceError, InvalidError, NotFoundError, OptionError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from headrace.client.operations import Page, Redriven
    from headrace.model.job import JobState
    from headrace.model.status import SignalInfo
    from headrace.remote import (
        DeadLetter,
        HistoryEntry,
        JobStatus,
        JobSummary,
        Listing,
        PipelineInfo,
        QueueStatus,
        RemoteClient,
        RemoteJob,
    )
    from headrace.store.reads import DeadLetterFilter, JobFilter, RegisteredPipeline

PAGE_MOST: Final = 100
REASON: Final = "asked for on the command line"
"""Where an API wants a reason and the command was given none."""
REST_S: Final = 0.5
"""Between two looks at a job of which much is told."""


class LocalOnlyError(InvalidError):
    """A command, or an option of it, needs the database and was told to ask an API."""

    code = "local_only"
    exit_code = ExitCode.USAGE

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return (
            f"{self.what} works on the database alone, not through an API: leave --api out, and "
            "unset HEADRACE_API_URL"
        )


def refuse_local(options: Mapping[str, object]) -> None:
    """Refuse options that have no meaning at an API.

    Args:
        options: What was given to each; None or `default` is nothing.

    Raises:
        LocalOnlyError: One was given.
    """
    for option, given in options.items():
        if given not in {None, "default"}:
            raise LocalOnlyError(option)


@contextlib.asynccontextmanager
async def remote_app(url: str) -> AsyncIterator[RemoteApp]:
    """The app at an API, inside an `async with` block.

    Raises:
        AddressError: The address or the token cannot be used.
    """
    from headrace.remote import RemoteClient

    async with RemoteClient(url) as client:
        yield RemoteApp(client)


class RemoteApp:
    """What commands ask of a `Headrace`, asked of an API.

    Args:
        client: Asks it.
    """

    def __init__(self, client: RemoteClient) -> None:
        self.client = client

    # --- jobs -------------------------------------------------------------------------------------

    def job(self, job: str) -> RemoteJob[Any]:
        """As `Client.job`."""
        return self.client.job(job)

    async def status(self, job: str) -> JobStatus:
        """As `Client.status`."""
        return await self.client.status(job)

    async def list_signals(self, job: str) -> list[SignalInfo]:
        """As `Client.list_signals`."""
        return await self.client.list_signals(job)

    async def history(self, job: str) -> list[HistoryEntry]:
        """As `Client.history`."""
        return await self.client.history(job)

    async def list_jobs(
        self, wanted: JobFilter, *, limit: int, cursor: str | None
    ) -> Page[JobSummary]:
        """As `Client.list_jobs`."""
        refuse_local({"--tenant": wanted.tenant, "--owner": wanted.owner})
        listing = self.client.list_jobs(
            states=wanted.states,
            pipeline=wanted.pipeline,
            queue=wanted.queue,
            wait_reason=wanted.wait_reason,
            cause=wanted.cause,
            correlation_id=wanted.correlation_id,
            parent_job=wanted.parent_job,
            created_since=wanted.created_since,
        )
        return await page_of(listing, limit, cursor)

    async def cancel(
        self,
        job: str,
        *,
        reason: str | None,
        actor: str,  # noqa: ARG002 - the API knows who asks
    ) -> JobState:
        """As `Client.cancel`."""
        return await self.client.cancel(job, reason=reason)

    async def retry(
        self,
        job: str,
        *,
        from_step: str | None,
        force: bool,
        reason: str | None,
        actor: str,  # noqa: ARG002 - the API knows who asks
    ) -> int:
        """As `Client.retry`."""
        return await self.client.retry(job, reason or REASON, from_step=from_step, force=force)

    async def replay(
        self,
        job: str,
        *,
        from_step: str | None,
        force: bool,
        reason: str | None,
        actor: str,  # noqa: ARG002 - the API knows who asks
    ) -> int:
        """As `Client.replay`."""
        return await self.client.replay(job, reason or REASON, from_step=from_step, force=force)

    # --- dead letters -----------------------------------------------------------------------------

    async def list_dead_letters(
        self, wanted: DeadLetterFilter, *, limit: int = 30, cursor: str | None = None
    ) -> Page[DeadLetter]:
        """As `Client.list_dead_letters`."""
        from headrace.client.operations import Page

        refuse_local({"--tenant": wanted.tenant, "--text": wanted.text})
        if wanted.jobs is not None:
            letters = [await self._letter_of(str(job)) for job in wanted.jobs]
            return Page([letter for letter in letters if letter is not None], None)
        listing = self.client.list_dead_letters(
            pipeline=wanted.pipeline,
            cause=wanted.cause,
            code=wanted.code,
            failed_since=wanted.failed_since,
        )
        return await page_of(listing, limit, cursor)

    async def _letter_of(self, job: str) -> DeadLetter | None:
        """The dead letter of one job; the API has a listing of all alone."""
        from headrace.remote import DeadLetter

        try:
            status = await self.client.status(job)
        except NotFoundError:
            return None
        error, at = status.error, status.finished_at
        if status.state != "failed" or error is None or at is None:
            return None
        return DeadLetter(
            status.id,
            status.run,
            status.owner,
            status.queue,
            status.pipeline,
            status.version,
            status.cause or "",
            error.code,
            error.message,
            error.step,
            error.item,
            status.attempts,
            status.lease_losses,
            error.kind,
            status.correlation_id,
            at,
        )

    async def redrive(
        self,
        wanted: DeadLetterFilter,
        *,
        dry_run: bool = False,
        limit: int,
        per_second: float = 10,
        from_step: str | None = None,
        force: bool = False,
        reason: str | None = None,
        actor: str = "",  # noqa: ARG002 - the API knows who asks
    ) -> Redriven:
        """As `Client.redrive`."""
        from headrace.client.operations import Redriven

        letters = (await self.list_dead_letters(wanted, limit=limit)).items
        runs: dict[str, int] = {}
        for place, letter in enumerate(() if dry_run else letters):
            if place:
                await asyncio.sleep(1 / per_second)
            with contextlib.suppress(ConflictError, NotFoundError):
                runs[letter.job] = await self.client.retry(
                    letter.job, reason or REASON, from_step=from_step, force=force
                )
        skipped = 0 if dry_run else len(letters) - len(runs)
        return Redriven(len(letters), runs, skipped)

    # --- queues and pipelines ---------------------------------------------------------------------

    async def list_queues(self) -> list[QueueStatus]:
        """As `Client.list_queues`."""
        return await self.client.list_queues()

    async def list_pipelines(self) -> list[RegisteredPipeline]:
        """As `Client.list_pipelines`: of older versions only the names of their steps are known."""
        return [known for info in await self.client.list_pipelines() for known in _registered(info)]

    # --- watching ---------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def pace(self, job: str) -> AsyncIterator[RemotePace]:
        """When to look at a job again, inside an `async with` block."""
        pace = RemotePace()
        following = asyncio.create_task(pace.follow(self.client, job), name="follow a job")
        try:
            yield pace
        finally:
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await following


class RemotePace:
    """Looks again when the API tells of something."""

    def __init__(self) -> None:
        self._news = asyncio.Event()
        self._error: HeadraceError | None = None

    async def follow(self, client: RemoteClient, job: str) -> None:
        """Listen until it is cancelled: what has ended may have been started again meanwhile."""
        try:
            while True:
                async for _ in client.events(job):
                    self._news.set()
                self._news.set()
                await asyncio.sleep(REST_S)
        except HeadraceError as error:
            self._error = error
            self._news.set()

    async def wait(self, *, is_new: bool) -> None:  # noqa: ARG002 - a pace of its own
        """Wait until there is news.

        Raises:
            HeadraceError: The API does not answer any more.
        """
        await asyncio.sleep(REST_S)
        await self._news.wait()
        if self._error is not None:
            raise self._error
        self._news.clear()


async def page_of(listing: Listing[Any], limit: int, cursor: str | None) -> Page[Any]:
    """A page of up to 1,000 items, out of those of the API, which have 100 at most."""
    from headrace.client.operations import Page

    items: list[Any] = []
    while True:
        part = await listing.page(limit=min(limit - len(items), PAGE_MOST), cursor=cursor)
        items += part.items
        cursor = part.next
        if cursor is None or len(items) >= limit:
            return Page(items, cursor)


def _registered(info: PipelineInfo) -> list[RegisteredPipeline]:
    from headrace.store.reads import RegisteredPipeline

    full = [
        {
            "name": step.name,
            "needs": step.needs,
            "each": step.per_item,
            "attempts": step.attempts,
            "timeout_s": step.timeout_s,
            "signals": step.signals,
            "delay_s": step.delay_s,
            "has_child": step.has_child,
        }
        for step in info.steps
    ]
    signals = [
        {
            "name": signal.name,
            "schema": signal.value_schema,
            "timeout_s": signal.timeout_s,
            "may_lack": signal.may_lack,
        }
        for signal in info.signals
    ]
    return [
        RegisteredPipeline(
            info.name,
            version.version,
            version.hash,
            {
                "steps": full
                if version.version == info.version
                else [{"name": name} for name in version.steps],
                "signals": signals if version.version == info.version else [],
            },
            version.registered_at,
            [info.queue],
        )
        for version in info.versions
    ]


def check_alone(api: str | None, app: str | None) -> None:
    """Refuse an APP beside an API.

    Raises:
        OptionError: Both were given.
    """
    if api is not None and app is not None:
        raise OptionError(
            "--app",
            "is code for the database, and an API has its own: leave it out, or --api and "
            "HEADRACE_API_URL",
        )
