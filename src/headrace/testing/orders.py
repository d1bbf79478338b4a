"""What a worker process is told."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import orjson


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """The only argument of `headrace.testing.child`."""

    app: str
    database: str
    artifacts: str
    concurrency: int
    queues: tuple[str, ...] | None
    timing: dict[str, float]

    def write(self) -> str:
        """As text."""
        return orjson.dumps(asdict(self)).decode()

    @classmethod
    def read(cls, text: str) -> Orders:
        """The inverse of `write`."""
        return cls(**orjson.loads(text))
