"""A bad Pub/Sub: what it brings is doubled and late, rings are lost, and once it forgets all."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Final

from headrace.broker.access import Access
from headrace.broker.setup import set_up
from headrace.broker.topology import Names, topology
from headrace.testing import PubSubServer
from headrace.testing.pubsub import (
    Call,
    CloseStreams,
    Delay,
    Drop,
    Duplicate,
    Fail,
    LoseAcks,
    PubSubFault,
    RefusedError,
)
from tests.crash.letters import Letters, subscribe
from tests.crash.server import CrashServer

NAMES: Final = Names()
POLL_S: Final = 5.0
"""Between two looks of an idle worker, however short other durations are: rings are what counts."""
FAULTS: Final = (
    Duplicate(share=0.2),
    Delay(share=0.2, by=timedelta(seconds=1)),
    # Pub/Sub loses nothing that it has taken. A lost ring costs time; a lost result would be lost.
    Drop(share=0.1, on=NAMES.subscription),
    LoseAcks(share=0.05),
    Fail(call=Call.PUBLISH, applied=True, share=0.05),
)
REFUSED: Final = Fail(call=Call.PUBLISH, on=NAMES.results)
CLOSING: Final = CloseStreams(every=timedelta(seconds=2))
COUNTED: Final = ("received", "dropped", "delivered", "acked", "lost_acks")


class Rings:
    """The server of a run, and what is done to it."""

    def __init__(self, server: PubSubServer, letters: Letters, scale: float) -> None:
        self._server, self._letters, self._scale = server, letters, scale
        self._counts: Counter[str] = Counter()

    @property
    def environment(self) -> dict[str, str]:
        """What workers are told so that they listen, and send."""
        return {
            "HEADRACE_DOORBELL": "pubsub",
            "HEADRACE_POLL_INTERVAL_S": str(POLL_S / self._scale),
            **self.outlet,
        }

    @property
    def outlet(self) -> dict[str, str]:
        """What workers are told so that they send results."""
        return {"PUBSUB_EMULATOR_HOST": self._server.address}

    @property
    def forgotten(self) -> frozenset[str]:
        """Events that the server took and forgot."""
        return frozenset(self._letters.forgotten)

    @contextlib.asynccontextmanager
    async def prepared(self, server: CrashServer) -> AsyncIterator[None]:
        """Results leave, and somebody receives them, inside the block."""
        await set_up(Access(self._server.project, self._server.address), topology(NAMES))
        connection = await server.connect()
        await subscribe(connection)
        await connection.close()
        async with self._letters.opened():
            yield

    async def torment(self, seconds: float) -> None:
        """Be bad for so long, in three parts with a restart between two of them."""
        third = seconds / 3
        with contextlib.ExitStack() as stack:
            for fault in FAULTS:
                stack.enter_context(self._server.inject(fault))
            await asyncio.sleep(third)
            await asyncio.to_thread(self._server.restart)
            await self._bear(REFUSED, third / 2)
            await asyncio.sleep(third / 2)
            await asyncio.to_thread(self._forget)
            await self._letters.found_again()
            await self._bear(CLOSING, third)

    async def settled(self) -> str:
        """Wait for what is on its way; what was counted, in words."""
        is_all = await self._letters.all_came()
        self._count()
        counts = ", ".join(f"{name} {self._counts[name]}" for name in COUNTED)
        return (
            f"rings: {counts}; letters: {self._letters.count}{'' if is_all else ', not all came'}"
        )

    async def _bear(self, fault: PubSubFault, seconds: float) -> None:
        with self._server.inject(fault):
            await asyncio.sleep(seconds)

    def _forget(self) -> None:
        """Restart as an emulator does."""
        self._count()
        self._server.stop()
        self._letters.forget()
        self._server.start(lose_state=True)

    def _count(self) -> None:
        with contextlib.suppress(RefusedError):
            self._counts.update(asdict(self._server.counts(NAMES.subscription)))


@contextlib.contextmanager
def rings(folder: Path, scale: float) -> Iterator[Rings]:
    """A server inside a `with` block.

    Args:
        folder: Where account is kept of what came.
        scale: Of the durations of workers.
    """
    with PubSubServer() as server:
        yield Rings(server, Letters(server, folder), scale)
