"""Where the log lines of a command go."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.settings import Settings
    from headrace.telemetry.events import Level


@contextlib.contextmanager
def log_to(stream: TextIO, settings: Settings, *, least: Level) -> Iterator[None]:
    """Write log lines for people to a stream, for the time of a `with` block.

    Args:
        stream: Where to.
        settings: Say in which form, and HEADRACE_LOG_LEVEL where it is set.
        least: The least level that is shown where nobody asked for another one.
    """
    from headrace.telemetry.logs import configure_logs

    level = settings.level if "HEADRACE_LOG_LEVEL" in os.environ else least
    logs = configure_logs(level=level, style=settings.log_format or "text", stream=stream)
    try:
        yield
    finally:
        logs.close()


def tell_unknown_settings() -> None:
    """Warn of `HEADRACE_` variables that mean nothing."""
    from headrace.cli.settings import unknown_settings
    from headrace.telemetry.events import emit
    from headrace.telemetry.store_events import SettingUnknown

    for unknown in unknown_settings():
        emit(SettingUnknown(setting=unknown.name, close_matches=unknown.close_matches))
