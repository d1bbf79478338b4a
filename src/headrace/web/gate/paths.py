"""Which requests are of a special kind, told by method and path before any route is looked for."""

from __future__ import annotations

from typing import Final

UPLOADS: Final = frozenset({"/v1/documents"})
"""POST there is read as a stream by its route."""
ADDRESSES: Final = "/v1/documents/uploads/"
"""PUT below it, too."""
WAITED_FOR: Final = frozenset({"/v1/consensus/expand", "/v1/consensus/review"})
"""POST there stores a job and waits for it, for a minute."""
SUBMISSIONS: Final = frozenset({"/v1/jobs", "/v1/documents", "/v1/consensus/reviews", *WAITED_FOR})
"""POST there stores a job."""
REVISIONS: Final = "/revisions"
"""POST to what ends so, too."""
LINKS: Final = "/signals/"
"""What begins so is opened by people, who have a link and no account."""


PUSH: Final = "/push"
"""Messages of Pub/Sub: its route reads the body, answers what is none, and works for minutes."""
LONG: Final = frozenset(
    {PUSH, "/process", "/tasks/sweep", "/tasks/relay", "/tasks/cleanup", "/tasks/drain-once"}
)
"""They have limits of their own."""


CALLBACKS: Final = "/v1/webhooks/"
"""POST to a name right below it is a parser's, which is signed."""


def takes_upload(method: str, path: str) -> bool:
    """Whether the body is a file, which its route reads as a stream."""
    return (method == "POST" and path in UPLOADS) or sends_file(method, path)


def sends_file(method: str, path: str) -> bool:
    """Whether the body is a file whatever type it says, for an address that was given out."""
    return method == "PUT" and path.startswith(ADDRESSES)


def calls_back(method: str, path: str) -> bool:
    """Whether it is signed by a parser: all of its callbacks come from the same few addresses."""
    return (
        method == "POST" and path.startswith(CALLBACKS) and path.count("/") == CALLBACKS.count("/")
    )


def takes_form(method: str, path: str) -> bool:
    """Whether the body may be what a form of a page sends."""
    return method == "POST" and path.startswith(LINKS)


def submits(method: str, path: str) -> bool:
    """Whether it stores a job."""
    return method == "POST" and (path in SUBMISSIONS or path.endswith(REVISIONS))


def may_last(method: str, path: str) -> bool:
    """Whether it may take longer than others: event streams, uploads, what is waited for."""
    is_long = path.endswith("/events") or path in LONG or path in WAITED_FOR
    return is_long or takes_upload(method, path)
