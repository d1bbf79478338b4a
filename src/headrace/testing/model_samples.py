"""Makes a value that fits a JSON schema, always the same one."""

from __future__ import annotations

from typing import Any, Final

MIDDLE: Final = 0.5


def sample(schema: dict[str, Any], root: dict[str, Any] | None = None) -> Any:  # noqa: ANN401 - any JSON
    """A value that fits: the first choice, lists of one, numbers in the middle of their range."""
    root = root or schema
    if "$ref" in schema:
        return sample(root["$defs"][str(schema["$ref"]).rpartition("/")[2]], root)
    if "anyOf" in schema:
        return sample(schema["anyOf"][0], root)
    if schema.get("type") == "object":
        return {name: sample(part, root) for name, part in schema.get("properties", {}).items()}
    if schema.get("type") == "array":
        return [sample(schema.get("items", {}), root)]
    return _plain(schema)


def _plain(schema: dict[str, Any]) -> object:
    choices = [schema["const"]] if "const" in schema else schema.get("enum")
    if choices:
        return choices[0]
    match schema.get("type"):
        case "number":
            least, most = schema.get("minimum", 0), schema.get("maximum", 1)
            return float(least + (most - least) * MIDDLE)
        case "integer":
            return int(schema.get("minimum", 1))
        case "boolean":
            return False
        case "null":
            return None
        case _:
            return "Some words."
