"""Writes the files of examples/documents that are not written by hand.

Run as `python -m scripts.make_examples`; the result is the same, byte for byte, each time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from scripts.examples.docx import write_docx
from scripts.examples.logbook import write_logbook
from scripts.examples.pdf import write_pdf

ROOT: Final = Path(__file__).parent.parent
SOURCES: Final = ROOT / "scripts" / "examples"
DOCUMENTS: Final = ROOT / "examples" / "documents"
PASSWORD: Final = "overby"  # noqa: S105 - it is told to everybody


def make() -> dict[str, bytes]:
    """The files, by their names."""
    handbook = write_pdf(_source("handbook"))
    survey = write_pdf(_source("survey"))
    return {
        "handbook.pdf": handbook,
        "handbook_copy.pdf": handbook,
        "flood-plan.docx": write_docx(_source("flood-plan")),
        "logbook.txt": write_logbook(_source("logbook")).encode(),
        "members.pdf": write_pdf(_source("members"), password=PASSWORD),
        "survey.pdf": survey[: len(survey) // 2],
    }


def _source(name: str) -> str:
    return (SOURCES / f"{name}.md").read_text(encoding="utf-8")


if __name__ == "__main__":
    for name, data in make().items():
        (DOCUMENTS / name).write_bytes(data)
        print(f"{name}: {len(data):,} bytes")
