"""Plain functions in threads, which nothing can stop from outside."""

from __future__ import annotations

import asyncio
import contextvars
import functools
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import ThreadPoolExecutor

T = TypeVar("T")


async def call_in_thread(
    threads: ThreadPoolExecutor, function: Callable[..., T], /, *args: object, **kwargs: object
) -> T:
    """What `function` returns; a call that is cancelled is waited for.

    So a function that goes on after its time is seen as what it is, a step that will not stop: it
    is given up after a while, and what it still writes is refused. A second cancel ends the wait.

    Raises:
        asyncio.CancelledError: The call was cancelled before a thread was free.
        Exception: What `function` raised.
    """
    # In the caller's context, so that what it logs and calls is of the step's span.
    context = contextvars.copy_context()
    call = threads.submit(functools.partial(context.run, function, *args, **kwargs))
    waiter = asyncio.wrap_future(call)
    try:
        return await asyncio.shield(waiter)
    except asyncio.CancelledError:
        if call.cancel():
            raise
        await asyncio.wait({waiter})
        return waiter.result()
