"""Who opens a link: a person, who is shown pages, or a program, which is told JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from starlette.types import Scope

JSON: Final = b"application/json"


def wants_page(scope: Scope) -> bool:
    """Whether a person asks; a program says that it sends or takes JSON."""
    headers = dict(scope["headers"])
    if headers.get(b"content-type", b"").lower().startswith(JSON):
        return False
    accept = headers.get(b"accept", b"").lower()
    return b"text/html" in accept or JSON not in accept
