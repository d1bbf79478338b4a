"""The APP of a command that names a pipeline: the project's, or the one that headrace brings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.cli.loading import find_reference, has_app, load_app

if TYPE_CHECKING:
    from headrace.app import Headrace

EVERYTHING: Final = "headrace.pipelines.shipped:app"
"""All that headrace brings."""
CONSENSUS: Final = "headrace.pipelines.consensus:app"
SHIPPED: Final = {
    "consensus": CONSENSUS,
    "consensus-expand": CONSENSUS,
    "consensus-quick": CONSENSUS,
}
"""Pipelines that need no APP of one's own, as `module:attribute`."""
TEXT_FIELDS: Final = dict.fromkeys(SHIPPED, "idea")
"""What a plain text is of their input."""


def find_app(given: str | None, pipeline: str) -> str:
    """The APP that is meant, as `module:attribute`.

    The one that was given, or that of pyproject.toml in this folder; for a pipeline that headrace
    brings, the one that carries it, unless the project's does.

    Raises:
        AppError: There is none, or it cannot be found.
        DefinitionError: One of its pipelines is defined wrongly.
    """
    if given is not None or pipeline not in SHIPPED:
        return find_reference(given)
    if has_app(None):
        reference = find_reference(None)
        if pipeline in load_app(reference).pipelines:
            return reference
    return SHIPPED[pipeline]


def load_app_for(given: str | None, pipeline: str) -> Headrace:
    """Import the APP that is meant.

    Raises:
        AppError: As `find_app`.
        DefinitionError: As `find_app`.
    """
    return load_app(find_app(given, pipeline))


def result_text(pipeline: str, result: object) -> str | None:
    """The result of a pipeline that headrace brings, in words; None where it can only be shown.

    Args:
        pipeline: Its name, as an API tells it.
        result: What the API answered, as JSON.
    """
    if pipeline not in SHIPPED:
        return None
    import json

    from headrace.errors import CodecError

    codec = load_app(SHIPPED[pipeline]).pipeline(pipeline).result
    try:
        value = codec.decode(json.dumps(result))
    except CodecError:  # of another version
        return None
    return str(value.as_text())
