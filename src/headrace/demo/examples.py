"""The files that the demo reads, and what must come of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import headrace
from headrace.demo.problem import DemoError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.pipelines.documents import Hit

MOST_FILES: Final = 200
FAILING: Final = frozenset({"members.pdf", "survey.pdf"})
"""One is locked, one is cut off."""
DUPLICATE: Final = "handbook_copy.pdf"


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and by what the right passage is known.

    Attributes:
        text: Shares no telling word with its answer: it is found by what it means.
        file: Where the answer stands.
        words: That stand in it.
        page: On which it stands, in a file that has pages.
    """

    text: str
    file: str
    words: str
    page: int | None = None

    def is_answered_by(self, hit: Hit) -> bool:
        """Whether a passage is the right one."""
        text = " ".join(hit.text.split())
        return (hit.name, hit.page) == (self.file, self.page) and self.words in text


QUESTIONS: Final = (
    Question("What is the danger of an explosion?", "handbook.pdf", "goes off like gunpowder", 15),
    Question("How long will it last in my pantry?", "flour.html", "turn bitter after four"),
    Question(
        "Which wild animal brought up her young in the building?", "logbook.txt", "three blind cubs"
    ),
)


def find_files(folder: Path | None) -> list[Path]:
    """The files of a folder, the largest first, at most 200.

    Args:
        folder: The examples of the clone that this code lies in, if left out.

    Raises:
        DemoError: There is no such folder, or nothing is in it.
    """
    place = folder or Path(headrace.__file__).parents[2] / "examples" / "documents"
    if folder is None and not place.is_dir():
        raise DemoError(
            "the example files are not part of the installed package: take examples/documents from"
            " headrace's repository and run `headrace demo FOLDER`, or give any folder of yours"
        )
    if not place.is_dir():
        raise DemoError(f"there is no folder {place}")
    files = [
        path
        for path in place.rglob("*")
        if path.is_file() and not any(part[0] == "." for part in path.relative_to(place).parts)
    ]
    if not files:
        raise DemoError(f"there are no files in {place}")
    return sorted(files, key=lambda path: (-path.stat().st_size, path))[:MOST_FILES]


def are_examples(files: Sequence[Path]) -> bool:
    """Whether these are the files that the questions are about."""
    names = {path.name for path in files}
    return names >= {*FAILING, DUPLICATE, *(question.file for question in QUESTIONS)}
