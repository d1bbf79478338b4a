"""The program of a worker process that `Engine.spawn` starts.

It says its worker's number on its standard output when it claims, and it ends when its standard
input does, which is when the test's process is gone.
"""

from __future__ import annotations

import asyncio
import os
import pkgutil
import signal
import sys
import threading
import traceback
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from headrace.app import Headrace
from headrace.model.pipeline import Pipeline
from headrace.testing.app import TrialApp
from headrace.testing.orders import Orders
from headrace.worker.timing import Timing

if TYPE_CHECKING:
    from collections.abc import Iterable

FAILED: Final = 1


def pipelines_of(reference: str) -> Iterable[Pipeline[Any, Any]]:
    """What `module:attribute` names: an app's pipelines, one pipeline, or several.

    Raises:
        TypeError: It is something else.
    """
    found = pkgutil.resolve_name(reference)
    if isinstance(found, Headrace):
        return tuple(found._pipelines.values())  # noqa: SLF001 - the app's own test kit
    if isinstance(found, Pipeline):
        return (found,)
    if isinstance(found, list | tuple):
        return found
    raise TypeError(f"{reference} is a {type(found).__name__}: want a Headrace or pipelines")


async def work(orders: Orders) -> int:
    """Run a worker until it ends."""
    app = TrialApp(
        pipelines_of(orders.app), database=orders.database, artifacts=Path(orders.artifacts)
    )
    async with app:
        worker = app.worker(
            queues=orders.queues,
            concurrency=orders.concurrency,
            timing=Timing(**{n: timedelta(seconds=s) for n, s in orders.timing.items()}),
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, worker.stop)
        running = asyncio.create_task(worker.run())
        ready = asyncio.create_task(worker.started.wait())
        await asyncio.wait({running, ready}, return_when=asyncio.FIRST_COMPLETED)
        if worker.life is not None and ready.done():
            print(worker.life.number, flush=True)  # noqa: T201 - the parent reads it
        return await running


def main() -> NoReturn:
    """Work as the only argument says, and exit with the worker's code.

    The exit is hard: a step that will not stop must not hold the process.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.path.insert(0, str(Path.cwd()))
    asyncio.run(_exit_after(Orders.read(sys.argv[1])))
    raise AssertionError("it has exited")


async def _exit_after(orders: Orders) -> None:
    code = FAILED
    try:
        code = await work(orders)
    except BaseException:  # noqa: BLE001 - told, and the process ends
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(FAILED)


if __name__ == "__main__":
    main()
