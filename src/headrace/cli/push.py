"""`headrace worker --push`: works inside of requests, and nowhere else."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from headrace.errors import Problem, SettingsError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from headrace.app import Headrace
    from headrace.web.push.desk import Desk


@contextlib.asynccontextmanager
async def open_desk(
    app: Headrace,
    port: int | None,
    *,
    queues: Sequence[str] | None,
    concurrency: int | None,
    reference: str,
) -> AsyncIterator[Desk]:
    """Serve POST /push inside an `async with` block; the database may be away meanwhile.

    Raises:
        SettingsError: Something is missing.
    """
    if app.settings.doorbell != "pubsub":
        raise SettingsError([Problem("HEADRACE_DOORBELL", "--push takes rings; set it to pubsub")])
    if port is None:
        raise SettingsError([Problem("HEADRACE_WORKER_PORT", "--push needs a port; set it")])
    try:
        from headrace.web.port import open_push
        from headrace.web.push.desk import Desk
    except ModuleNotFoundError as error:
        problem = f"needs {error.name}: pip install 'headrace[server]'"
        raise SettingsError([Problem("HEADRACE_WORKER_PORT", problem)]) from None
    desk = Desk(app, queues=queues, concurrency=concurrency, reference=reference)
    try:
        async with open_push(app, desk, port):
            yield desk
    finally:
        await app.close()
