"""Settings as commands use them: the environment's, with what the options say on top."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headrace.settings import Settings


def settings_for_worker(queues: str | None, concurrency: int | None) -> Settings:
    """The settings of this environment; options win.

    Raises:
        SettingsError: A setting or an option is not accepted.
    """
    from headrace.settings import load_settings

    given = dict(os.environ)
    if queues is not None:
        given["HEADRACE_QUEUES"] = queues
    if concurrency is not None:
        given["HEADRACE_CONCURRENCY"] = str(concurrency)
    return load_settings(given)
