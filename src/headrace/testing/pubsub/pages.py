"""Lists that are answered a page at a time."""

from __future__ import annotations

from typing import Final

from headrace.testing.pubsub.refusal import invalid
from headrace.testing.pubsub.wire import Proto

_MOST: Final = 1_000


def page_of(found: list[str], request: Proto) -> tuple[list[str], str]:
    """The names that a request with `page_size` and `page_token` is given, and the next token.

    The token is the last name that was given, so pages stay right when names come and go.
    """
    if request.page_size < 0:
        raise invalid(f"Invalid page size ({request.page_size}).")
    size = min(request.page_size or _MOST, _MOST)
    rest = [name for name in sorted(found) if name > request.page_token]
    return rest[:size], rest[size - 1] if len(rest) > size else ""
