"""What becomes of a message that was pushed: it is settled, or it has to come again."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from headrace.model.incoming import Incoming
from headrace.store.inbox import Aside, put_aside
from headrace.telemetry.events import emit, enabled
from headrace.telemetry.messaging_events import (
    MessagePutAside,
    MessageReturned,
    MessageSettled,
)
from headrace.worker.slices import SliceWorker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.app import Headrace
    from headrace.web.push.envelope import MalformedError
    from headrace.worker.worker import Load

DOORBELL: Final = "doorbell"
JOB: Final = "job"
OTHER: Final = "other"
KEPT_BYTES: Final = 64 * 1_024
"""Of a body that is no envelope."""


class Desk:
    """Takes messages, and works for their rings.

    The database may be away when it is made: it opens the app with the first message.

    Args:
        app: Whose jobs.
        queues: Which queues it serves; those of the settings if left out.
        concurrency: Requests that work at the same time; 1 if nobody says more.
        reference: As for `Headrace.worker`.
        slice_s: Seconds that a request may work, in place of that of the settings.
    """

    def __init__(
        self,
        app: Headrace,
        *,
        queues: Sequence[str] | None = None,
        concurrency: int | None = None,
        reference: str | None = None,
        slice_s: float | None = None,
    ) -> None:
        settings = app.settings
        if concurrency is None and "concurrency" not in settings.model_fields_set:
            concurrency = 1
        self._app, self._queues, self._reference = app, queues, reference
        self._concurrency = concurrency or settings.concurrency
        self._slice_s = slice_s or settings.push_slice_s
        self._opening = asyncio.Lock()
        self._stop = asyncio.Event()
        self._made = asyncio.Event()
        self._worker: SliceWorker | None = None

    @property
    def subscription(self) -> str:
        """The full name of the subscription whose messages are taken."""
        settings, messaging = self._app.settings, self._app.messaging
        name = settings.push_subscription or f"{messaging.names.jobs}-push-sub"
        return messaging.access.subscription(name)

    @property
    def worker(self) -> SliceWorker | None:
        """What runs jobs; None before the database answered for the first time."""
        return self._worker

    @property
    def has_stuck_steps(self) -> bool:
        """As `Worker.has_stuck_steps`."""
        return self._worker is not None and self._worker.has_stuck_steps

    def obstacles(self) -> tuple[str, ...]:
        """As `Worker.obstacles`."""
        if self._stop.is_set():
            return ("it is draining",)
        return () if self._worker is None else self._worker.obstacles()

    def load(self) -> Load | None:
        """As `Worker.load`."""
        return None if self._worker is None else self._worker.load()

    def stop(self) -> None:
        """Take no more messages; again: let running steps no time."""
        self._stop.set()
        if self._worker is not None:
            self._worker.stop()

    async def run(self) -> int:
        """Be there until stopped.

        Returns:
            The exit code for the process.
        """
        ends = [asyncio.create_task(one.wait()) for one in (self._stop, self._made)]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()
        return 0 if self._worker is None else await self._worker.run()

    async def receive(self, message: Incoming, gone: asyncio.Event) -> bool:
        """Take a message; nothing of it is under way when this returns.

        Args:
            message: Whichever.
            gone: Set when nobody waits for the answer any more.

        Returns:
            Whether it is settled; else it has to come again.

        Raises:
            BusyError: It cannot be worked for now.
            DatabaseUnavailableError: No server answered.
        """
        if message.kind != DOORBELL and not self._takes_jobs:
            _tell_returned(message, "nothing here takes messages of this kind")
            return False
        try:
            worker = await self._open()
            async with worker.call():
                if message.kind != DOORBELL:
                    return (await self._app.inbox.receive(message)).is_settled  # which tells
                reason = await self._ring(worker, message, gone)
        except Exception:
            _tell_returned(message, "it cannot be taken now")
            raise
        if reason:
            _tell_returned(message, reason)
        else:
            _tell(message, DOORBELL, "rung")
        return not reason

    async def record(self, body: bytes, malformed: MalformedError) -> None:
        """Put aside what is no message.

        Raises:
            DatabaseUnavailableError: No server answered.
        """
        await self._open()
        now = datetime.now(UTC)
        message = Incoming(
            message_id=malformed.message_id, data=body[:KEPT_BYTES], attributes={}, published_at=now
        )
        aside = Aside(
            message_id=message.message_id,
            source=None,
            tenant=None,
            reason="undecodable",
            detail=malformed.detail,
            data=message.data,
            attributes={},
            published_at=now,
        )
        async with self._app.connection() as connection:
            await put_aside(connection, aside)
        emit(
            MessagePutAside(
                message_id=message.message_id,
                kind=OTHER,
                priority=None,
                source=None,
                reason=aside.reason,
            )
        )
        _tell(message, OTHER, "quarantined")

    @property
    def _takes_jobs(self) -> bool:
        """Whether submitted jobs can be checked here, and are wanted."""
        return self._app.settings.inbox != "off" and bool(self._app.signing_keys)

    async def _ring(self, worker: SliceWorker, message: Incoming, gone: asyncio.Event) -> str:
        """Why the ring has to come again; empty where it is settled."""
        queue = message.attributes.get("queue") or None
        if queue is not None and queue not in worker.parts.queues:
            return ""
        worked = await worker.work(gone, queue=queue)
        return "" if worked.is_settled else "its job was handed back"

    async def _open(self) -> SliceWorker:
        """The worker, made when the database answers for the first time."""
        if self._worker is None:
            async with self._opening:
                if self._worker is None:
                    await self._app.open()
                    made = self._app.worker(
                        queues=self._queues,
                        concurrency=self._concurrency,
                        reference=self._reference,
                    )
                    self._worker = SliceWorker(made.parts, slice_s=self._slice_s)
                    if self._stop.is_set():
                        self._worker.stop()
                    self._made.set()
        return self._worker


def _tell_returned(message: Incoming, reason: str) -> None:
    kind = message.kind if message.kind in {DOORBELL, JOB} else OTHER
    emit(MessageReturned(message_id=message.message_id, kind=kind, reason=reason))
    _tell(message, kind, "returned")


def _tell(message: Incoming, kind: str, outcome: str) -> None:
    if enabled(MessageSettled):
        emit(
            MessageSettled(
                message_id=message.message_id,
                kind=kind,
                outcome=outcome,
                message_latency_ms=message.age_ms,
            )
        )
