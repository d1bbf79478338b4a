"""Asking headrace something for which the user's code is not needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from headrace.cli.running import run_async

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from headrace.app import Headrace

T = TypeVar("T")


def ask(question: Callable[[Headrace], Awaitable[T]]) -> T:
    """Open headrace by the environment's settings, and ask.

    Raises:
        HeadraceError: The settings are wrong, the database is away or has another schema, or
            whatever `question` raises.
    """

    async def opened() -> T:
        from headrace.app import Headrace

        async with Headrace(pipelines=[]) as app:
            return await question(app)

    return run_async(opened())


def actor() -> str:
    """Who is at the keyboard, for the history of jobs."""
    import getpass

    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):  # a container's user without a name
        return "cli"
