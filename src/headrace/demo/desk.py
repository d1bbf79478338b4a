"""Where the demo's steps write: their own log, and the index."""

from __future__ import annotations

import json
import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace import StepContext, SyncContext

FOLDER_VARIABLE: Final = "DEMO_FOLDER"
LOG_NAME: Final = "steps.log"
INDEX_NAME: Final = "index.md"


class Desk:
    """A folder with the log of all steps, which knows nothing of the engine's tables.

    A line is one write to a file that was opened for appending, so lines of several processes never
    mix, and what a killed process has written stays.
    """

    def __init__(self, folder: Path) -> None:
        """Open the log.

        Args:
            folder: An existing folder.
        """
        self._folder = folder
        self._log = os.open(folder / LOG_NAME, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def close(self) -> None:
        """Close the log."""
        os.close(self._log)

    @contextmanager
    def log(self, step: str, ctx: StepContext | SyncContext) -> Iterator[None]:
        """Write down that a step starts, and at the end of the block that it ended or failed."""
        self._write("start", step, ctx)
        try:
            yield
        except BaseException:
            self._write("failed", step, ctx)
            raise
        self._write("end", step, ctx)

    def _write(self, what: str, step: str, ctx: StepContext | SyncContext) -> None:
        line = {
            "at": time.time(),
            "what": what,
            "process": os.getpid(),
            "job": str(ctx.job_id),
            "run": ctx.run,
            "step": step,
            "item": ctx.item or "",
        }
        os.write(self._log, f"{json.dumps(line)}\n".encode())

    def write_index(self, text: str) -> Path:
        """Put the index in its place as a whole: a step that is repeated does no harm."""
        path = self._folder / INDEX_NAME
        draft = path.with_suffix(".draft")
        draft.write_text(text, encoding="utf-8")
        return draft.replace(path)


def open_desk() -> Desk:
    """The desk in the folder that the demo names in the environment of its workers."""
    return Desk(Path(os.environ.get(FOLDER_VARIABLE, ".")))
