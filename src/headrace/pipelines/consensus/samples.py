"""Ideas that are shipped, to try the pipeline with."""

from __future__ import annotations

from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent / "ideas"


def sample_ideas() -> dict[str, str]:
    """The shipped ideas by name, in order."""
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.md"))}
