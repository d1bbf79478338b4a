"""Plain functions, which run in threads, ask the loop that has the connections."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from headrace.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


def ask_loop(loop: asyncio.AbstractEventLoop, work: Coroutine[None, None, T], what: str) -> T:
    """Do something on a loop of another thread, and wait for it.

    Args:
        loop: Of another thread.
        work: What is done there.
        what: What is used, for the error.

    Raises:
        DefinitionError: It is called on a loop, which would wait for itself.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run_coroutine_threadsafe(work, loop).result()
    work.close()
    raise DefinitionError(what, "in an async function write `async with`, not `with`", "ASYNC_WITH")
