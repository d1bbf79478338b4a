"""The pipelines of an app, taken together."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from headrace.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headrace.model.pipeline import Pipeline


def check_carried(pipelines: Iterable[Pipeline[Any, Any]]) -> None:
    """Refuse pipelines that cannot run, or not beside each other.

    Raises:
        DefinitionError: One has no steps, or no step that returns its output.
        InvalidError: Two have the same name.
    """
    pipelines = tuple(pipelines)
    counts = Counter(pipeline.name for pipeline in pipelines)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise InvalidError(f"two pipelines are named {', '.join(twice)}; names are addresses")
    for pipeline in pipelines:
        pipeline.check()
