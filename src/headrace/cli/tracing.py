"""Traces of a command that works, where the settings ask for them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from headrace.errors import Problem, SettingsError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from headrace.settings import Settings


@contextlib.asynccontextmanager
async def tracing(settings: Settings) -> AsyncIterator[None]:
    """Send traces to HEADRACE_OTEL_ENDPOINT inside an `async with` block, if it is set.

    What makes spans is to be made inside the block.

    Raises:
        SettingsError: The extra `otel` is not installed.
    """
    if settings.otel_endpoint is None:
        yield
        return
    import asyncio

    from headrace import __version__
    from headrace.telemetry.tracing import start_tracing

    try:
        stop = start_tracing(
            settings.otel_endpoint,
            sample=settings.otel_sample,
            version=__version__,
            project=settings.otel_project,
        )
    except ModuleNotFoundError as error:
        problem = f"needs {error.name}: pip install 'headrace[otel]'"
        raise SettingsError([Problem("HEADRACE_OTEL_ENDPOINT", problem)]) from None
    try:
        yield
    finally:
        await asyncio.to_thread(stop)
