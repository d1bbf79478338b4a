"""The application under test: on the test's own database, with a folder of its own."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from headrace.app import Headrace
from headrace.store.artifacts import FolderArtifacts

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from headrace.model.pipeline import Pipeline
    from headrace.settings import Settings


class TrialApp(Headrace):
    """A `Headrace` that leaves the artifacts of the project alone."""

    def __init__(
        self,
        pipelines: Iterable[Pipeline[Any, Any]],
        *,
        database: str,
        artifacts: Path,
        settings: Settings | None = None,
    ) -> None:
        super().__init__(pipelines, database=database, settings=settings)
        self._folder = artifacts

    @cached_property
    def artifacts(self) -> FolderArtifacts:
        """Where outputs lie that are too large for the database."""
        return FolderArtifacts(
            self._folder, self._connections, most_bytes=self.settings.artifact_max_bytes
        )
