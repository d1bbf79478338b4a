"""The parts of the page of the pipeline `consensus` that follow from its definitions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from headrace.pipelines import consensus
from headrace.pipelines.consensus import answers, blocks, decision, diff, schemas
from headrace.pipelines.consensus.prompts import prompt_set, prompt_versions
from headrace.pipelines.consensus.registry import SCHEMAS
from scripts.reference_table import table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel

PAGE: Final = Path(__file__).parent.parent / "docs" / "reference" / "consensus.md"
PART: Final = re.compile(r"(<!-- begin (\w+) -->\n).*?(<!-- end \2 -->)", re.DOTALL)
VALUES: Final = {
    "SCHEMAS": "The registry of schemas",
    "app": "An app that carries the three pipelines alone",
    "consensus": "The pipeline, for your own `Headrace(pipelines=[...])`",
    "expand_only": "The pipeline `consensus-expand`",
    "quick": "The pipeline `consensus-quick`",
}
"""Public names that have no docstring of their own."""


def consensus_page() -> str:
    """The page as it is, with its parts as they must be."""
    parts = {
        "personas": persona_lines,
        "thresholds": threshold_lines,
        "answers": answer_lines,
        "schemas": registry_lines,
        "bounds": bound_lines,
        "names": name_lines,
    }

    def written(match: re.Match[str]) -> str:
        return "\n".join((match[1].rstrip(), "", *parts[match[2]](), match[3]))

    return PART.sub(written, PAGE.read_text(encoding="utf-8"))


def persona_lines() -> Iterator[str]:
    """The personas of the current set of prompts."""
    prompts = prompt_set()
    versions = ", ".join(f"`{version}`" for version in prompt_versions())
    yield from (f"Of the set of prompts `{prompts.version}`; there are {versions}.", "")
    rows = (
        (
            f"`{one.id}`",
            one.display_name,
            f"`{one.row}`",
            str(one.default_weight),
            f"{one.temperature:g}",
            "yes" if one.has_veto else "",
        )
        for one in prompts.personas
    )
    yield from table(("persona", "name", "item", "weight", "temperature", "veto"), rows)
    yield ""


def threshold_lines() -> Iterator[str]:
    """What decides."""
    rows = (
        (f"{decision.APPROVE_FROM} and more", "`approve`"),
        (f"{decision.REVISE_FROM} and more", "`revise`"),
        ("less", "`reject`"),
        (f"below {decision.LOW_CONFIDENCE}, of one persona", "little confidence"),
        (f"{decision.QUICK_APPROVE_FROM} and more, of a quick review", "`approve`"),
    )
    yield from (*table(("confidence", "is"), rows), "")


def bound_lines() -> Iterator[str]:
    """What is fixed in code."""
    rows = (
        ("sentences of an idea", schemas.MOST_SENTENCES),
        ("characters of a text of a proposal, in a review's prompt", blocks.MOST_CHARACTERS),
        ("characters of an item of a list, in a review's prompt", blocks.MOST_ITEM_CHARACTERS),
        ("items of a list, in a review's prompt", blocks.MOST_ITEMS),
        ("characters of a text of an answer", answers.MOST_CHARACTERS),
        ("items of a list of an answer", answers.MOST_ITEMS),
        ("lines around a change, in a diff", diff.CONTEXT),
        ("lines of a diff", diff.MOST_LINES),
    )
    yield from (*table(("of", "most"), ((what, f"{most:,}") for what, most in rows)), "")


def answer_lines() -> Iterator[str]:
    """What a model may answer."""
    yield from schema_lines("An expansion", answers.ExpansionAnswer)
    yield from schema_lines("A review", answers.ReviewAnswer)


def registry_lines() -> Iterator[str]:
    """The schemas, each with its fields."""
    for schema in SCHEMAS.all():
        yield from schema_lines(f"{schema.name} {schema.version}", schema.model)
    yield from schema_lines("Parameters, of IdeaInput", schemas.Parameters)
    yield from schema_lines("Revision, of IdeaInput", schemas.Revision)


def name_lines() -> Iterator[str]:
    """The public names."""
    rows = ((f"`{name}`", first_line(name)) for name in consensus.__all__)
    yield from (*table(("name", "what it is"), rows), "")


def schema_lines(title: str, model: type[BaseModel]) -> Iterator[str]:
    """A table of the fields of a schema."""
    schema = model.model_json_schema()
    required = set(schema.get("required", ()))
    rows = (
        (f"`{name}`", type_text(part), "yes" if name in required else "")
        for name, part in schema["properties"].items()
    )
    yield from (f"### {title}", "", *table(("field", "is", "required"), rows), "")


def type_text(part: dict[str, Any]) -> str:
    """A part of a JSON schema in words."""
    if "anyOf" in part:
        return " or ".join(dict.fromkeys(type_text(one) for one in part["anyOf"]))
    if "$ref" in part:
        return str(part["$ref"]).rpartition("/")[2]
    if part.get("type") == "array":
        return f"list of {type_text(part['items'])}"
    words = {"string": "text", "null": "nothing", "boolean": "true or false", "integer": "number"}
    kind = str(part.get("type", "any JSON"))
    text = words.get(kind, kind)
    if "maximum" in part:
        return f"{text}, {part['minimum']:g} to {part['maximum']:g}"
    return text


def first_line(name: str) -> str:
    """What a public name is, in a line."""
    doc = VALUES.get(name) or getattr(consensus, name).__doc__ or ""
    return " ".join(doc.partition("\n\n")[0].split()).rstrip(".")
