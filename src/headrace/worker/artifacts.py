"""The worker's view of the artifact store: outputs of attempts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.store.artifacts import ArtifactKey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.store.artifacts import ArtifactStore
    from headrace.worker.attempt import Attempt


class AttemptArtifacts:
    """Keeps outputs of attempts that are too large for a row; see `engine.Artifacts`."""

    def __init__(self, store: ArtifactStore) -> None:
        """Keep them in `store`."""
        self._store = store

    async def read(self, reference: str) -> str:
        """The text that a stored reference stands for, verified by its hash."""
        return await self._store.read(reference)

    async def write(self, attempt: Attempt, text: str) -> str:
        """Keep a text and give its reference."""
        claim = attempt.run.claim
        key = ArtifactKey(claim.job, claim.run, attempt.step.name, attempt.item, claim.token)
        return await self._store.write(key, text)

    async def delete(self, paths: Sequence[str]) -> None:
        """Remove artifacts by their paths; one that is gone is no error."""
        await self._store.delete(paths)
