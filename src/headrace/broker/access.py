"""Whose Pub/Sub it is, and how it is reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

EMULATOR_PROJECT: Final = "emulator-project"
"""The project on an emulator where none is named."""


@dataclass(frozen=True, slots=True)
class Access:
    """Where messages go and come from.

    Attributes:
        project: Of all topics and subscriptions.
        emulator: Host and port of any server of the protocol that takes no credentials.
        credentials_file: Of a service account; None takes the platform's own credentials.
    """

    project: str
    emulator: str | None = None
    credentials_file: Path | None = None

    def topic(self, name: str) -> str:
        """The full name of a topic."""
        return f"projects/{self.project}/topics/{name}"

    def subscription(self, name: str) -> str:
        """The full name of a subscription."""
        return f"projects/{self.project}/subscriptions/{name}"
