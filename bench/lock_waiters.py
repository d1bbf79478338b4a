"""Tasks of one process that all want the same lock, again and again, until they are killed.

python -m bench.lock_waiters TASKS
"""

import asyncio
import sys
from typing import Final

from bench.headrace_app import everything

LOCK: Final = "the lock"


async def main(tasks: int) -> None:
    """Wait for the lock, let it go, and wait again."""
    async with everything:
        await asyncio.gather(*(_want() for _ in range(tasks)))


async def _want() -> None:
    while True:
        async with everything.lock(LOCK, wait=300):
            pass


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
