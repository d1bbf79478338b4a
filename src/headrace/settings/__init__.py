"""The engine's settings: one frozen value, read from `HEADRACE_...` environment variables.

`load_settings()` is how a process starts: it reads the environment and refuses what is blank, out
of range or contradictory, with one line that says what to do. `Settings(...)` never looks at the
environment, so tests get what they ask for.
"""

from headrace.settings.describe import SettingRow, describe
from headrace.settings.environment import UnknownSetting, load_settings, unknown_settings
from headrace.settings.model import Settings

__all__ = [
    "SettingRow",
    "Settings",
    "UnknownSetting",
    "describe",
    "load_settings",
    "unknown_settings",
]
