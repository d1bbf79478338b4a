"""A stream of messages, opened again whenever it ends, and shut while nothing can be taken."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from time import monotonic
from typing import TYPE_CHECKING, Final

from headrace.errors import BrokerUnavailableError, DatabaseUnavailableError
from headrace.worker.service import Service

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headrace.broker.broker import Doorbell, Hearing
    from headrace.inbox.inbox import Inbox
    from headrace.model.incoming import Incoming
    from headrace.worker.timing import Timing

LOOKS: Final = 6
"""In the time after which silence is suspicious, this often somebody looks."""
UP_S: Final = 1.0
"""A stream that has stood for so long is open: one that is refused ends within milliseconds."""


class Gate:
    """Takes submitted jobs, and shuts while the database is away.

    What is delivered then comes again: each delivery counts towards those after which Pub/Sub gives
    a message up, so none is asked for until the database is back.
    """

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._away = asyncio.Event()

    async def open(self) -> None:
        """Return when messages can be taken.

        Raises:
            DatabaseUnavailableError: None can now.
        """
        await self._inbox.check()
        self._away.clear()

    async def take(self, message: Incoming) -> bool:
        """As `Take`."""
        verdict = await self._inbox.receive(message)
        if verdict.for_outage:
            self._away.set()
        return verdict.is_settled

    async def shut(self) -> None:
        """Wait until no message can be taken.

        Raises:
            DatabaseUnavailableError: Then, always.
        """
        await self._away.wait()
        raise DatabaseUnavailableError("no message can be stored")


class Attending(Service):
    """Holds a stream open.

    Args:
        name: As `Service`.
        stream: Where messages come from.
        slots: Most messages in hand at once.
        gate: Takes those that are no rings; None gives them back.
        worker: The worker's number.
        timing: Its durations.
    """

    def __init__(
        self,
        name: str,
        stream: Doorbell,
        *,
        slots: int,
        gate: Gate | None,
        worker: int,
        timing: Timing,
    ) -> None:
        super().__init__(name, worker_id=str(worker), timing=timing)
        self._stream, self._slots, self._gate = stream, slots, gate
        self._silence_s = timing.silence.total_seconds()
        self._why = ""
        self._leaving: asyncio.Task[None] | None = None

    @abstractmethod
    async def answer(self, queue: str) -> None:
        """As `Answer`."""

    def is_deaf(self, hearing: Hearing) -> bool:  # noqa: ARG002 - for those who can tell
        """Whether the stream should have brought something, and did not."""
        return False

    def leave(self) -> None:
        """Begin to end, without waiting: messages are for those who stay."""
        leaving, self._task = self._task, None
        if leaving is not None:
            self._leaving = leaving
            leaving.cancel()

    async def stop(self) -> None:
        """As `Service.stop`."""
        await super().stop()
        if self._leaving is not None:
            await asyncio.wait({self._leaving})

    @property
    def obstacle(self) -> str:
        """As `Service.obstacle`, with what has to be put right."""
        return f"{super().obstacle}: {self._why}" if self._why else super().obstacle

    def failed(self, error: Exception) -> None:
        """Keep what may be told of a failure."""
        self._why = str(error) if isinstance(error, BrokerUnavailableError) else ""

    async def run(self) -> None:
        """Attend until stopped, on one stream after the other."""
        while True:
            take = None
            if self._gate is not None:
                await self._gate.open()
                take = self._gate.take
            async with self._stream.open(self.answer, slots=self._slots, take=take) as hearing:
                await self._hear(hearing)

    async def _hear(self, hearing: Hearing) -> None:
        """Return when another stream is to be opened."""
        over = {asyncio.ensure_future(hearing.ended())}
        if self._gate is not None:
            over.add(asyncio.ensure_future(self._gate.shut()))
        opened_at = monotonic()
        look_s = min(UP_S, self._silence_s / LOOKS)
        try:
            while True:
                done, _ = await asyncio.wait(
                    over, timeout=look_s, return_when=asyncio.FIRST_COMPLETED
                )
                if done:
                    _raise_of(done)
                    if monotonic() - opened_at < UP_S:
                        raise BrokerUnavailableError("the stream of messages ends when it begins")
                    return
                self.worked()
                if self.is_deaf(hearing):
                    return
        finally:
            for one in over:
                one.cancel()
            await asyncio.wait(over)


def _raise_of(done: Iterable[asyncio.Future[None]]) -> None:
    for one in done:
        one.result()
