"""A Pub/Sub that rings badly: rings are doubled, late and lost, and the server forgets all."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from headrace.testing import PubSubServer
from headrace.testing.pubsub import Delay, Drop, Duplicate

RESTARTS: Final = 2
FAULTS: Final = (
    Duplicate(share=0.2),
    Delay(share=0.2, by=timedelta(seconds=1)),
    Drop(share=0.1),
)


class Rings:
    """The server of a run, and what is done to it."""

    def __init__(self, server: PubSubServer) -> None:
        self._server = server

    @property
    def environment(self) -> dict[str, str]:
        """What workers are told so that they listen."""
        return {"HEADRACE_DOORBELL": "pubsub", "PUBSUB_EMULATOR_HOST": self._server.address}

    async def torment(self, seconds: float) -> None:
        """Ring badly for so long."""
        with contextlib.ExitStack() as stack:
            for fault in FAULTS:
                stack.enter_context(self._server.inject(fault))
            for _ in range(RESTARTS):
                await asyncio.sleep(seconds / (RESTARTS + 1))
                await asyncio.to_thread(self._server.restart, lose_state=True)
            await asyncio.sleep(seconds / (RESTARTS + 1))


@contextlib.contextmanager
def rings() -> Iterator[Rings]:
    """A server for this process and those that it starts, inside a `with` block."""
    with PubSubServer() as server:
        made = Rings(server)
        os.environ.update(made.environment)  # this process submits, and so it rings
        yield made
