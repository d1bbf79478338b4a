"""Running the asynchronous part of a command."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, TypeVar

from headrace.cli.exits import ExitCode
from headrace.errors import InvalidError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable, Coroutine

T = TypeVar("T")


class RefusedError(InvalidError):
    """The server refused the connection or the statement for good."""

    code = "database_refused"
    exit_code = ExitCode.CONFIGURATION

    def __init__(self, answer: str) -> None:
        super().__init__(answer)
        self.answer = answer

    def __str__(self) -> str:
        return f"the database refused: {self.answer}; correct HEADRACE_DATABASE_URL or its grants"


def run_async(work: Coroutine[Any, Any, T], *, fast: bool = False) -> T:
    """Run the asynchronous part of a command to its end.

    Args:
        work: What to run.
        fast: Use uvloop where it is installed: worth its import for a worker, not for a question.

    Raises:
        RefusedError: Wrong password, no such database, a missing grant.
    """
    import asyncio

    from asyncpg import exceptions

    refusals = (
        exceptions.InvalidAuthorizationSpecificationError,
        exceptions.InvalidCatalogNameError,
        exceptions.InsufficientPrivilegeError,
    )
    try:
        with asyncio.Runner(loop_factory=_uvloop() if fast else None) as runner:
            return runner.run(work)
    except refusals as error:
        raise RefusedError(str(error)) from error


@contextlib.asynccontextmanager
async def beside(
    work: Coroutine[Any, Any, object], *, stop: Callable[[], object]
) -> AsyncIterator[None]:
    """Run a worker beside the body of an `async with` block, and end it after that.

    When the worker fails, the body is cancelled and its error raised. What else the worker runs at
    the end is handed back.
    """
    import asyncio

    running = asyncio.create_task(work, name="headrace worker")
    body = asyncio.current_task()

    def end_body(task: asyncio.Task[object]) -> None:
        if body is not None and not task.cancelled() and task.exception() is not None:
            body.cancel()

    running.add_done_callback(end_body)
    try:
        yield
    except asyncio.CancelledError:
        if not running.done():
            raise
        if body is not None:
            body.uncancel()
    finally:
        running.remove_done_callback(end_body)
        stop()
        stop()  # a first call leaves running steps the grace time, a second one does not
        await running


async def together(*works: Coroutine[Any, Any, object]) -> None:
    """Run several at once; the first error ends the others, and is raised as it is."""
    import asyncio

    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except BaseExceptionGroup as errors:  # not `except*`: before 3.11.4 it puts into a group again
        raise _first(errors) from None


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


def _uvloop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
