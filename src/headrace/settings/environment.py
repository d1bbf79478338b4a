"""Settings from the environment, with a line for each variable that is wrong."""

from __future__ import annotations

import os
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final, NamedTuple

from headrace.settings.model import Settings
from headrace.settings.names import PREFIX, variable
from headrace.variables import read_settings, variables

if TYPE_CHECKING:
    from collections.abc import Mapping

PLATFORM: Final = {
    "PORT": ("port", "worker_port"),
    "GOOGLE_CLOUD_PROJECT": ("otel_project", "pubsub_project"),
    "PUBSUB_EMULATOR_HOST": ("pubsub_emulator_host",),
}
"""What Cloud Run and its like say without our prefix, and the fields that it fills."""


class UnknownSetting(NamedTuple):
    """A `HEADRACE_` variable that means nothing, and the names that may have been meant."""

    name: str
    close_matches: tuple[str, ...]


def load_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings of this environment.

    Raises:
        SettingsError: Something is blank, out of range, unreadable or contradictory; its one line
            names each setting and says what it takes.
    """
    given = dict(environ)
    for name, fields in PLATFORM.items():
        if name in given:
            for field in fields:
                given.setdefault(variable(field), given[name])
    return read_settings(Settings, given)


def unknown_settings(
    environ: Mapping[str, str] = os.environ, *, also: frozenset[str] = frozenset()
) -> tuple[UnknownSetting, ...]:
    """Return the `HEADRACE_` variables that mean nothing to the engine.

    Args:
        environ: Where to look.
        also: Full names that others read, for example a shipped pipeline's own settings.
    """
    from headrace.remote.settings import RemoteSettings  # noqa: PLC0415 - only this needs it

    # Clients of an API may share the environment of workers.
    known = variables(Settings) | variables(RemoteSettings) | also
    return tuple(
        UnknownSetting(name, tuple(get_close_matches(name, known)))
        for name in sorted(environ)
        if name.startswith(PREFIX) and name not in known
    )
