"""The JSON schema of an answer, as the strict mode of model servers takes it."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel

KEPT: Final = frozenset(
    {
        "$ref", "anyOf", "const", "description", "enum", "exclusiveMaximum", "exclusiveMinimum",
        "items", "maxItems", "maximum", "minItems", "minimum", "multipleOf", "type",
    }
)  # fmt: skip
"""What strict mode takes, besides the members of objects. Nothing is lost by leaving out the rest:
an answer is validated by the class itself."""


def strict_schema(schema: type[BaseModel]) -> dict[str, Any]:
    """The schema of a class: all members are required, no others are allowed.

    A member that may be left out must also take null.
    """
    given = schema.model_json_schema()
    strict = _strict(given)
    if "$defs" in given:
        strict["$defs"] = {name: _strict(part) for name, part in given["$defs"].items()}
    return strict


def _strict(part: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in part:
        return {"$ref": part["$ref"]}  # nothing may stand beside it
    kept = {name: value for name, value in part.items() if name in KEPT}
    if "properties" in part:
        members = {name: _strict(member) for name, member in part["properties"].items()}
        kept |= {
            "properties": members,
            "required": list(members),
            "additionalProperties": False,
        }
    if isinstance(kept.get("items"), dict):
        kept["items"] = _strict(kept["items"])
    if "anyOf" in kept:
        kept["anyOf"] = [_strict(choice) for choice in kept["anyOf"]]
    return kept
