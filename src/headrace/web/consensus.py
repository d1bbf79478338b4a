"""The reviews of ideas in this process, where the app carries the pipeline that headrace brings."""

from __future__ import annotations

import contextlib
import sys
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from headrace.errors import HeadraceError
from headrace.web.problems import MALFORMED, ProblemError, not_found
from headrace.web.state import service_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from starlette.requests import Request

    from headrace.app import Headrace
    from headrace.pipelines.consensus import Reviews
    from headrace.web.wall import Wall

MODULE: Final = "headrace.pipelines.consensus"
REFUSALS: Final[Mapping[str, Callable[[str], ProblemError]]] = MappingProxyType(
    {
        "parent_not_found": lambda _: not_found(),
        "parent_not_completed": partial(ProblemError, "CONFLICT"),
        "revision_depth": partial(ProblemError, "CONFLICT"),
        "revision_refused": partial(ProblemError, "VALIDATION_ERROR", status=MALFORMED),
        "prompt_set_invalid": partial(ProblemError, "VALIDATION_ERROR"),
    }
)
"""By the code of the error, whose texts are written for users."""


def reviews_of(app: Headrace, wall: Wall) -> Reviews | None:
    """The reviews of an app; None where it does not carry the pipeline that headrace brings.

    Nothing is imported for it: an app that carries the pipeline has imported it.
    """
    module = sys.modules.get(MODULE)
    if module is None or app.pipelines.get("consensus") is not module.consensus:
        return None
    reviews: Reviews = module.Reviews(app, reading=wall.seen_by)
    return reviews


def reviews_in(request: Request) -> Reviews:
    """The reviews; the routes that ask for them are only there where there are some."""
    reviews = service_of(request).reviews
    if reviews is None:
        raise not_found("path")
    return reviews


@contextlib.contextmanager
def refused() -> Iterator[None]:
    """What reviews refuse, as problems.

    Raises:
        ProblemError: What a client is told.
    """
    try:
        yield
    except HeadraceError as error:
        problem = REFUSALS.get(error.code)
        if problem is None:
            raise
        raise problem(str(error)) from error
