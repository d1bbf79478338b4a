"""The engine's settings in words: for the reference page and for `headrace config show`."""

from __future__ import annotations

from headrace import variables
from headrace.settings.model import Settings
from headrace.settings.names import variable
from headrace.settings.pubsub import PubSubSettings
from headrace.variables import SettingRow

__all__ = ["SettingRow", "describe"]


def describe(settings: Settings | None = None) -> tuple[SettingRow, ...]:
    """Return a row for each setting, in order; with `settings` also the effective values."""
    rows = variables.describe(Settings, settings)
    inherited = {variable(field) for field in PubSubSettings.model_fields}
    return tuple(sorted(rows, key=lambda row: row.name in inherited))  # the others come first
