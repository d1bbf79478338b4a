"""Sets of prompts: versioned files, read and checked when the pipeline is imported.

A set is a folder `prompts/<version>` with `set.toml`, which names the personas with their weights,
and a Markdown file for each of them, each with the sections `# System` and `# Developer`; beside
them `expand.md`, `generic.md` for quick reviews, and `reviewer.md` with what holds for all reviews.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from headrace.pipelines.consensus.errors import PromptSetError
from headrace.pipelines.consensus.personas import Persona, check_personas
from headrace.pipelines.consensus.settings import consensus_settings

FOLDER: Final = Path(__file__).parent / "prompts"
SECTIONS: Final = re.compile(
    r"\s*# System\n(?P<system>.*?)\n# Developer\n(?P<developer>.*)", re.DOTALL
)
QUICK: Final = "generic_reviewer"
"""The id of the reviewer of quick reviews."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is told: what it is, and what it has to do."""

    system: str
    developer: str


@dataclass(frozen=True, slots=True)
class PromptSet:
    """All prompts of one version, which never change once they were released.

    Attributes:
        version: MAJOR.MINOR.PATCH.
        is_deprecated: Whether it will be removed.
        notes: What differs from the set before.
        expand: For ideas that are thought out.
        reviewer: What holds for all reviews, after what is told to the persona.
        personas: Who reviews, in the order of the rows.
        quick: The one reviewer of quick reviews.
    """

    version: str
    is_deprecated: bool
    notes: str
    expand: Prompt
    reviewer: Prompt
    personas: tuple[Persona, ...]
    quick: Persona

    def persona(self, row: str) -> Persona:
        """The persona of a row.

        Raises:
            PromptSetError: This set has none.
        """
        for persona in self.personas:
            if persona.row == row:
                return persona
        raise PromptSetError(f"the prompts {self.version} have no persona for {row}")

    def review_prompt(self, persona: Persona) -> Prompt:
        """What a persona is told."""
        return Prompt(
            f"{persona.system_prompt}\n\n{self.reviewer.system}",
            f"{persona.developer_instructions}\n\n{self.reviewer.developer}",
        )


def prompt_versions() -> tuple[str, ...]:
    """The versions that are there, the newest first."""
    found = [path.parent.name for path in FOLDER.glob("*/set.toml")]
    return tuple(sorted(found, key=lambda name: [int(part) for part in name.split(".")])[::-1])


@cache
def prompt_set(version: str | None = None) -> PromptSet:
    """A set of prompts; that of the settings if none is named.

    Raises:
        PromptSetError: There is none of this version, or it is not as it must be.
    """
    wanted = version or consensus_settings().persona_template_version
    if wanted not in prompt_versions():
        raise PromptSetError(
            f"there are no prompts {wanted[:40]!r}; there are {', '.join(prompt_versions())}"
        )
    return read_set(FOLDER / wanted)


def read_set(folder: Path) -> PromptSet:
    """The set of prompts in a folder.

    Raises:
        PromptSetError: It is not as it must be; the text names the file.
    """
    named = tomllib.loads((folder / "set.toml").read_text(encoding="utf-8"))
    version = str(named["version"])
    settings = consensus_settings()
    personas = tuple(_persona(folder, version, fields) for fields in named["persona"])
    check_personas(personas, fewest=settings.min_persona_count, most=settings.max_persona_count)
    return PromptSet(
        version=version,
        is_deprecated=bool(named.get("deprecated", False)),
        notes=str(named.get("notes", "")),
        expand=_prompt(folder / "expand.md"),
        reviewer=_prompt(folder / "reviewer.md"),
        personas=personas,
        quick=_quick(folder, version),
    )


def _persona(folder: Path, version: str, fields: dict[str, Any]) -> Persona:
    prompt = _prompt(folder / f"{fields['id']}.md")
    try:
        return Persona(
            id=fields["id"],
            display_name=fields["display_name"],
            row=fields["row"],
            system_prompt=prompt.system,
            developer_instructions=prompt.developer,
            default_weight=fields["weight"],
            temperature=fields["temperature"],
            template_version=version,
            has_veto=fields.get("veto", False),
        )
    except ValidationError as error:
        raise PromptSetError(f"{folder / 'set.toml'}: {fields['id']}: {error}") from error


def _quick(folder: Path, version: str) -> Persona:
    settings, prompt = consensus_settings(), _prompt(folder / "generic.md")
    return Persona(
        id=QUICK,
        display_name=settings.default_persona_name,
        row="review",
        system_prompt=prompt.system,
        developer_instructions=settings.default_persona_instructions or prompt.developer,
        default_weight=Decimal(1),
        temperature=0.2,
        template_version=version,
    )


def _prompt(path: Path) -> Prompt:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise PromptSetError(f"{path} is missing") from None
    match = SECTIONS.fullmatch(text)
    if match is None or not all(part.strip() for part in match.groups()):
        raise PromptSetError(f"{path} has not the sections `# System` and `# Developer`")
    return Prompt(match["system"].strip(), match["developer"].strip())
