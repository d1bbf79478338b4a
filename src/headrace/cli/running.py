"""Running the asynchronous part of a command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from headrace.cli.exits import ExitCode
from headrace.errors import InvalidError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

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


def _uvloop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
