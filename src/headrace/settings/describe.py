"""The engine's settings in words: for the reference page and for `headrace config show`."""

from __future__ import annotations

from headrace import variables
from headrace.settings.model import Settings
from headrace.variables import SettingRow

__all__ = ["SettingRow", "describe"]


def describe(settings: Settings | None = None) -> tuple[SettingRow, ...]:
    """Return a row for each setting, in order; with `settings` also the effective values."""
    return variables.describe(Settings, settings)
