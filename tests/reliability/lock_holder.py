"""A process that holds a lock and writes to what it guards, until that refuses.

python -m tests.reliability.lock_holder DATABASE FOLDER
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from pathlib import Path

from headrace import Headrace
from headrace.errors import LockLostError
from tests.proof.guard import Guard

KEY = "guarded"


def write_on(guard: Guard, token: int) -> None:
    """As a thread that hears of nothing."""
    while guard.write(KEY, token):
        time.sleep(0.01)
    os.write(1, b"refused\n")


async def main(database: str, folder: Path) -> None:
    """Hold the lock until it is lost."""
    async with Headrace([], database=database) as app:
        try:
            async with app.lock(KEY, ttl=1) as lock:
                writing = threading.Thread(target=write_on, args=(Guard(folder), lock.token))
                writing.start()
                await asyncio.Event().wait()
        except LockLostError:
            writing.join()
            os.write(1, b"lost\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
