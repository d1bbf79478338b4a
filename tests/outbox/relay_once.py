"""Sends what is due once, in a process of its own: `python -m tests.outbox.relay_once DSN FILE`.

The receiver is a file: a line for each event that it got.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from headrace.store.outbox import Delivery, Outgoing
from headrace.store.pool import connect
from headrace.store.session import ENGINE_SETTINGS, Session
from headrace.worker.relay import relay_once


class Receiver:
    def __init__(self, file: Path) -> None:
        self._file = file

    async def send(self, events: Sequence[Outgoing]) -> Sequence[Delivery]:
        with self._file.open("a") as ledger:
            ledger.writelines(f"{event.event_id}\n" for event in events)
        return [Delivery.sent()] * len(events)

    async def close(self) -> None:
        """Nothing is open."""


async def main(dsn: str, file: Path) -> None:
    session = Session(lambda: connect(dsn, name="relay", settings=ENGINE_SETTINGS))
    receiver = Receiver(file)
    senders = {"webhook": receiver, "topic": receiver}
    await relay_once(session, senders, limit=1_000, seconds=30)
    session.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
