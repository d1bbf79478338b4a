"""Text of others in a prompt: in blocks between marks that it cannot contain.

    <<<idea 3f786850e387
    A mill that grinds by night.
    3f786850e387 idea>>>

The mark is made from what stands in the blocks, so nobody can write it into a block, and the same
blocks have the same mark: a question that is asked again is the same question.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from headrace.pipelines.consensus.schemas import ExpandedProposal

MOST_CHARACTERS: Final = 2_000
"""Of a text of a proposal in a prompt."""
MOST_ITEM_CHARACTERS: Final = 500
MOST_ITEMS: Final = 10
"""Of a list of a proposal in a prompt."""
ELLIPSIS: Final = " [...]"
_BLOCK: Final = re.compile(r"<<<(\w+) ([0-9a-f]{16})\n(.*?)\n\2 \1>>>", re.DOTALL)


def write_blocks(texts: Mapping[str, str]) -> str:
    """Texts by name, each in a block."""
    mark = hashlib.sha256("\0".join(texts.values()).encode()).hexdigest()[:16]
    return "\n\n".join(
        f"<<<{name} {mark}\n{text}\n{mark} {name}>>>" for name, text in texts.items()
    )


def read_blocks(message: str) -> dict[str, str]:
    """The texts of the blocks of a message, by name."""
    return {name: text for name, _, text in _BLOCK.findall(message)}


@dataclass(slots=True)
class Shortened:
    """Fits texts into a prompt, and notes what was shortened.

    Attributes:
        places: What was shortened, with its length before, as `proposed_solution: 2,310`.
    """

    places: list[str] = field(default_factory=list)

    def text(self, name: str, text: str, most: int = MOST_CHARACTERS) -> str:
        """A text with at most so many characters."""
        if len(text) <= most:
            return text
        self.places.append(f"{name}: {len(text):,} characters, {most:,} sent")
        return text[: most - len(ELLIPSIS)] + ELLIPSIS

    def texts(self, name: str, texts: list[str]) -> list[str]:
        """A list with at most 10 texts, of 500 characters each."""
        if len(texts) > MOST_ITEMS:
            self.places.append(f"{name}: {len(texts)} items, {MOST_ITEMS} sent")
        return [
            self.text(f"{name}[{index}]", text, MOST_ITEM_CHARACTERS)
            for index, text in enumerate(texts[:MOST_ITEMS])
        ]


def proposal_text(proposal: ExpandedProposal, shortened: Shortened) -> str:
    """A proposal as reviewers read it, within the limits of a prompt."""
    fields = {
        "title": shortened.text("title", proposal.title or ""),
        "summary": shortened.text("summary", proposal.summary or ""),
        "problem_statement": shortened.text("problem_statement", proposal.problem_statement),
        "proposed_solution": shortened.text("proposed_solution", proposal.proposed_solution),
        "assumptions": shortened.texts("assumptions", proposal.assumptions),
        "scope_non_goals": shortened.texts("scope_non_goals", proposal.scope_non_goals),
    }
    given = {name: value for name, value in fields.items() if value}
    return json.dumps(given, ensure_ascii=False, indent=1)
