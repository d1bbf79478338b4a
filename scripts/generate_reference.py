"""Writes the reference pages of settings and events from their definitions.

python scripts/generate_reference.py            write docs/reference/
python scripts/generate_reference.py --check    fail when a page is not current
"""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Final

from headrace.settings import describe
from headrace.telemetry import job_events, step_events, store_events, worker_events
from headrace.telemetry.events import EVENTS, Event, field_names
from headrace.telemetry.fields import MEANINGS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import ModuleType

FOLDER: Final = Path(__file__).parent.parent / "docs" / "reference"
FAMILIES: Final[tuple[tuple[str, ModuleType], ...]] = (
    ("Jobs", job_events),
    ("Steps", step_events),
    ("Workers", worker_events),
    ("Database, ledger, process", store_events),
)
NOTE: Final = "<!-- Written by scripts/generate_reference.py: change the definitions instead. -->"

SETTINGS_INTRO: Final = """\
Environment variables. A blank, impossible or contradictory value stops the start with one line that
names the setting and what it takes; an unknown `HEADRACE_` name is warned about, with the names
that may have been meant. A setting marked * may also come from a file: give its path in a variable
of the same name that ends in `_FILE`. `headrace config show` prints what is in effect, with secrets
masked.
"""
EVENTS_INTRO: Final = """\
What the engine tells. Each event becomes one log line whose `message` and `event` are its name,
once its change is committed. In JSON a line has Cloud Logging's names: `severity`, `time`,
`message`, `logging.googleapis.com/labels`. A field without a value is left out. Secrets are masked
by key and by shape at any depth; text over 200 characters is cut and its length shown.

`HEADRACE_LOG_LEVEL=INFO` shows a job's life, `DEBUG` every claim and every step.
"""


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    titles = list(head)
    yield f"| {' | '.join(titles)} |"
    yield f"|{' --- |' * len(titles)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |"


def settings_page() -> str:
    """The page of all settings."""
    rows = (
        (
            f"`{row.name}`{' *' if row.secret else ''}",
            row.default,
            row.range,
            row.meaning,
        )
        for row in describe()
    )
    head = ("setting", "default", "takes", "meaning")
    return "\n".join(("# Settings", "", NOTE, "", SETTINGS_INTRO, *table(head, rows), ""))


def events_page() -> str:
    """The page of all events and of the fields that they bear."""
    lines = ["# Events", "", NOTE, "", EVENTS_INTRO]
    for title, module in FAMILIES:
        members = [kind for kind in EVENTS.values() if kind.__module__ == module.__name__]
        shared = shared_fields(members)
        lines += [f"## {title}", ""]
        if shared:
            lines += [f"All of these bear {', '.join(f'`{name}`' for name in shared)}.", ""]
        head = ("event", "level", "means", "further fields")
        lines += [*table(head, (event_row(kind, shared) for kind in members)), ""]
    used = {name for kind in EVENTS.values() for name in field_names(kind)}
    meanings = ((f"`{name}`", MEANINGS[name]) for name in sorted(used))
    return "\n".join((*lines, "## Fields", "", *table(("field", "meaning"), meanings), ""))


def shared_fields(members: list[type[Event]]) -> tuple[str, ...]:
    """The fields that every event of a family bears."""
    first = field_names(members[0])
    return tuple(name for name in first if all(name in field_names(kind) for kind in members))


def event_row(kind: type[Event], shared: tuple[str, ...]) -> tuple[str, ...]:
    """One event: name, level, what it means, what it bears beyond its family's fields."""
    further = (f"`{field.name}`" for field in fields(kind) if field.name not in shared)
    meaning = " ".join((kind.__doc__ or "").split())
    return f"`{kind.name}`", kind.level.name, meaning, ", ".join(further)


def main() -> int:
    """Write the pages, or tell which are not current."""
    pages = {"settings.md": settings_page(), "events.md": events_page()}
    stale = [name for name, text in pages.items() if read(FOLDER / name) != text]
    if "--check" in sys.argv[1:]:
        for name in stale:
            print(f"docs/reference/{name} is not current: run scripts/generate_reference.py")
        return 1 if stale else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in stale:
        (FOLDER / name).write_text(pages[name], encoding="utf-8")
        print(f"wrote docs/reference/{name}")
    return 0


def read(path: Path) -> str | None:
    """The page as it is; None where there is none."""
    return path.read_text(encoding="utf-8") if path.exists() else None


if __name__ == "__main__":
    sys.exit(main())
