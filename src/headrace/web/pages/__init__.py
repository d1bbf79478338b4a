"""Pages for people who have a link and no account: plain HTML, without scripts."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import Response

from headrace.web.forms.showing import Shown

if TYPE_CHECKING:
    from headrace.web.problems import Problem

ROBOTS: Final = {"X-Robots-Tag": "noindex, nofollow"}


class Message(NamedTuple):
    """A page that only says something."""

    mark: str
    tone: str
    title: str
    lines: tuple[str, ...]


@cache
def _pages() -> Environment:
    pages = Environment(
        loader=PackageLoader("headrace.web.pages"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    source = pages.loader.get_source(pages, "style.css")[0] if pages.loader else ""
    pages.globals["style"] = source
    return pages


@cache
def page_policy() -> str:
    """The content security policy of these pages: their one style, and forms to themselves."""
    style = str(_pages().globals["style"]).encode()
    digest = base64.b64encode(hashlib.sha256(style).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )


def form_page(form: Shown, *, status: int = 200, **said: str) -> Response:
    """A page that asks.

    Args:
        form: What it asks for.
        status: 422 where something is wrong with what was sent.
        **said: `pipeline`, `title`, `text`, `until` and `button`.
    """
    faults = list(form.faults())
    return _answer("form.html", status, {}, form=form, faults=faults, **said)


def message_page(
    message: Message, status: int, headers: Mapping[str, str] | None = None
) -> Response:
    """A page that only says something."""
    return _answer("page.html", status, headers or {}, **message._asdict())


def problem_page(problem: Problem) -> Response:
    """What a person is told in place of a problem document."""
    message = MESSAGES.get(problem.code) or (BUSY if problem.status in TEMPORARY else BROKEN)
    return message_page(message, problem.status, problem.headers)


def _answer(name: str, status: int, headers: Mapping[str, str], **said: object) -> Response:
    text = _pages().get_template(name).render(said)
    return Response(text, status, {**ROBOTS, **headers}, "text/html")


def moment_text(moment: datetime) -> str:
    """A time as a page says it, in UTC."""
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"


TEMPORARY: Final = frozenset({408, 429, 503, 504})
AGAIN: Final = "Ask the person who sent it for a new one."
THANKS: Final = Message(
    "✓", "good", "Thank you", ("Your answer has been received.", "You can close this page.")
)
BUSY: Final = Message("!", "", "Please try again", ("The service is busy. Try again in a minute.",))
BROKEN: Final = Message(
    "!",
    "wrong",
    "Something went wrong",
    ("Your answer was not taken.", "Try again, or tell the person who sent you the link."),
)
MESSAGES: Final[Mapping[str, Message]] = MappingProxyType(
    {
        "NOT_FOUND": Message(
            "?", "", "This link does not work", ("It may have been cut off on its way.", AGAIN)
        ),
        "LINK_EXPIRED": Message("!", "", "This link is no longer valid", (AGAIN,)),
        "SIGNAL_TAKEN": Message(
            "✓", "", "Already answered", ("An answer has been received. Nothing is left to do.",)
        ),
        "SIGNAL_EXPIRED": Message(
            "!", "", "The time to answer is over", ("No answer came in time.",)
        ),
        "JOB_FINISHED": Message(
            "✓", "", "No answer is needed any more", ("What this was about has ended.",)
        ),
        "PAYLOAD_TOO_LARGE": Message(
            "!", "wrong", "That is too long", ("Go back, and send a shorter answer.",)
        ),
    }
)
"""By the codes of problems."""
