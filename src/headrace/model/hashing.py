"""The hash that tells the definitions of a pipeline apart."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    from headrace.model.pipeline import Pipeline
    from headrace.model.step import Step

_TEXTS: Final = frozenset({"title", "description", "examples", "default", "$comment"})
_NAMED: Final = frozenset({"properties", "$defs", "patternProperties"})


def definition_hash(pipeline: Pipeline[Any, Any]) -> str:
    """16 hexadecimal digits over what is stored and undone, and who waits for whom."""
    facts = {
        "name": pipeline.name,
        "input": shape_of(pipeline.input.schema()),
        "output": shape_of(pipeline.output.schema()),
        "steps": [
            (step.name, step.was, step.needs, _each_of(step), shape_of(step.output.schema()))
            for step in pipeline.steps.values()
        ],
    }
    undone = [(step.name, step.was) for step in pipeline.steps.values() if step.undo is not None]
    if undone:  # others keep the hash that they had
        facts["undo"] = undone
    if pipeline.signals:
        facts["signals"] = {
            name: shape_of(signal.codec.schema()) for name, signal in pipeline.signals.items()
        }
    text = orjson.dumps(facts, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).hexdigest()[:16]


def shape_of(schema: Any) -> Any:  # noqa: ANN401 - JSON
    """A JSON schema without its texts: what is accepted, whatever the docstrings say."""
    if isinstance(schema, list):
        return [shape_of(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: {name: shape_of(item) for name, item in value.items()}
        if key in _NAMED and isinstance(value, dict)
        else shape_of(value)
        for key, value in schema.items()
        if key not in _TEXTS
    }


def _each_of(step: Step) -> str | int | tuple[str | int, str] | None:
    """The step that gives the items, or the number of fixed ones; whether items may fail."""
    if step.each is None:
        return None
    source = step.each.source_step or len(step.each.items)
    return source if step.each.at_least is None else (source, "at_least")
