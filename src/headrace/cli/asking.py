"""Asking headrace something for which the user's code is not needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

from headrace.cli.running import run_async

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from headrace.app import Headrace

T = TypeVar("T")


def ask(question: Callable[[Headrace], Awaitable[T]], api: str | None = None) -> T:
    """Open headrace by the environment's settings, and ask.

    Args:
        question: What is asked.
        api: The address of an API that is asked instead, through a `RemoteApp`: it has those
            methods of the app that the commands with `--api` use.

    Raises:
        HeadraceError: The settings are wrong, the database is away or has another schema, or
            whatever `question` raises.
    """
    if api is not None:
        from headrace.cli.remote import remote_app

        async def asked() -> T:
            async with remote_app(api) as app:
                return await question(cast("Headrace", app))

        return run_async(asked())

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
