"""An event loop in a thread of its own: it goes on whatever the thread of the test does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Final, TypeVar

T = TypeVar("T")

CALL_S: Final = 30.0
"""Limit of one call into the loop; none of them waits for clients."""


class LoopThread:
    """Runs one coroutine function to its end, and calls from other threads beside it."""

    def __init__(self, main: Callable[[asyncio.Event, asyncio.Event], Coroutine[Any, Any, None]]):
        """A thread that does not run yet.

        Args:
            main: Sets the first event when it is ready, and ends after the second was set.
        """
        self._main = main
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._ready: Future[None] = Future()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="headrace-pubsub", daemon=True)

    def start(self) -> None:
        """Run, and wait until it is ready; raises what it failed with instead."""
        self._thread.start()
        self._ready.result(CALL_S)

    def stop(self) -> None:
        """End it, and wait for that; raises what it failed with."""
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(CALL_S)
        if self._thread.is_alive():
            raise RuntimeError(f"the server did not end within {CALL_S:g} s")
        if self._failure is not None:
            raise self._failure

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """What the coroutine returns or raises in the loop.

        Raises:
            RuntimeError: The loop does not run.
        """
        if self._loop is None or not self._thread.is_alive():
            coroutine.close()
            raise RuntimeError("the server works only inside its `with` block")
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(CALL_S)

    def _run(self) -> None:
        try:
            asyncio.run(self._live())
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            if self._ready.done():
                self._failure = error
            else:
                self._ready.set_exception(_cause(error))

    async def _live(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        ready = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            main = group.create_task(self._main(ready, self._stop))
            waiter = group.create_task(ready.wait())
            await asyncio.wait({main, waiter}, return_when=asyncio.FIRST_COMPLETED)
            waiter.cancel()
            if ready.is_set():
                self._ready.set_result(None)


def _cause(error: BaseException) -> BaseException:
    """What went wrong, without the groups of the tasks that it went through."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
