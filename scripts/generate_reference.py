"""Writes the reference pages of settings, events, metrics, states, commands and the HTTP API.

python -m scripts.generate_reference            write docs/reference/
python -m scripts.generate_reference --check    fail when a page is not current
"""

from __future__ import annotations

import sys
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

from headrace.model.job import (
    STEP_TRANSITIONS,
    TRANSITIONS,
    WAIT_REASONS,
    FailureCause,
    JobState,
    StepState,
    WaitReason,
)
from headrace.model.job import (
    Event as JobEvent,
)
from headrace.pipelines.consensus.settings import ConsensusSettings
from headrace.pipelines.documents.settings import DocumentsSettings
from headrace.remote.settings import RemoteSettings
from headrace.settings import SettingRow, describe
from headrace.telemetry.events import EVENTS, Event, field_names
from headrace.telemetry.fields import MEANINGS
from headrace.telemetry.metrics import HISTOGRAMS, histogram_labels, labels_of
from headrace.telemetry.series import BUCKETS_S, MOST_SERIES, MOST_VALUES
from headrace.variables import describe as describe_class
from headrace.web.service.gauges import GAUGES
from scripts.reference_commands import commands_page, exits_page
from scripts.reference_consensus import consensus_page
from scripts.reference_http import http_page
from scripts.reference_table import NOTE, read, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FOLDER: Final = Path(__file__).parent.parent / "docs" / "reference"
FAMILIES: Final = (
    ("Jobs", "job_events"),
    ("Steps", "step_events"),
    ("Workers", "worker_events"),
    ("Operations", "operation_events"),
    ("HTTP API", "request_events"),
    ("Identity", "identity_events"),
    ("Messages", "messaging_events"),
    ("What leaves", "outbox_events"),
    ("Circuit breakers", "breaker_events"),
    ("Limits of jobs", "gate_events"),
    ("Limits and budgets", "limit_events"),
    ("Schedules", "schedule_events"),
    ("Signals and child jobs", "wait_events"),
    ("Database, ledger, process", "store_events"),
)
"""Titles, and modules of `headrace.telemetry`."""

SETTINGS_INTRO: Final = """\
Environment variables. A blank, impossible or contradictory value stops the start with one line that
names the setting and what it takes; an unknown `HEADRACE_` name is warned about, with the names
that may have been meant. A setting marked * may also come from a file: give its path in a variable
of the same name that ends in `_FILE`. `headrace config show` prints what is in effect, with secrets
masked.
"""
DOCUMENTS_INTRO: Final = """\
What the pipeline `documents` reads, beside the engine's. By the same rules.
"""
CONSENSUS_INTRO: Final = """\
What the pipeline `consensus` reads, beside the engine's. By the same rules.
"""
REMOTE_INTRO: Final = """\
What `RemoteClient` and the commands with `--api` read; workers and the API itself do not.
"""
EVENTS_INTRO: Final = """\
What the engine tells. Each event becomes one log line whose `message` and `event` are its name,
once its change is committed. In JSON a line has Cloud Logging's names: `severity`, `time`,
`message`, `logging.googleapis.com/labels`. A field without a value is left out. Secrets are masked
by key and by shape at any depth; text over 200 characters is cut and its length shown.

`HEADRACE_LOG_LEVEL=INFO` shows a job's life, `DEBUG` every claim and every step.
"""
METRICS_INTRO: Final = f"""\
What `GET /metrics` tells, in the text format of Prometheus or, to those who ask for it, of
OpenMetrics; beside it what every process of Python tells (`process_...`, `python_...`). A label
tells {MOST_VALUES} values apart and a metric {MOST_SERIES:,} combinations of them; all others are
counted as `other`. No label names a job, a tenant or a user.
"""
COUNTERS_INTRO: Final = """\
Each [event](events.md) is counted, once its change is committed, by the process that tells it.
"""
HISTOGRAMS_INTRO: Final = f"""\
In seconds. The buckets end at {", ".join(f"{bound:g}" for bound in BUCKETS_S)} s.
"""
GAUGES_INTRO: Final = """\
As it is when it is read; what the database tells, from `headrace_queue_depth` on, is 10 s old at
most, and is missing while the database does not answer. Those are the same in every process: take
the `max` of them, not the sum.
"""
STATES_INTRO: Final = """\
The tables of `headrace.model.job` as a page. The database refuses every change of a job's state
that does not stand here, and each change writes one row of the job's history.

The last three states are final: a job leaves them only into a new run, which somebody asked for.
"""
STEPS_INTRO: Final = """\
A step, or an item of a fan-out, in one run of a job. A step that is cut off is pending again; one
is failed only when its job is, and so is an item, unless `at_least` lets items fail.
"""
JOB_EVENTS: Final[dict[JobEvent, str]] = {
    JobEvent.SUBMITTED: "The job was stored.",
    JobEvent.CLAIMED: "A worker took it.",
    JobEvent.COMPLETED: "Every step has its outcome.",
    JobEvent.FAILED: "A step failed for good, a limit passed, or its workers died of it.",
    JobEvent.CANCELLED: "Somebody asked for it, or a step did.",
    JobEvent.RETRY_SCHEDULED: "A step failed and has tries left: the attempt is counted.",
    JobEvent.DEFERRED: "It waits for something outside: no attempt is counted.",
    JobEvent.RELEASED: "A worker gave it back: a shutdown, a drain.",
    JobEvent.RECOVERED: "The worker that held it is not alive any more.",
    JobEvent.RESTARTED: "An operator opened a new run.",
}
WAITS: Final[dict[WaitReason, str]] = {
    WaitReason.NEW: "for a worker, for the first time in this run",
    WaitReason.SCHEDULED: "for the time that it was submitted for",
    WaitReason.RETRY: "for the next try of a step",
    WaitReason.RATE_LIMITED: "for a rate limit, or as long as a step asked by RetryAfter",
    WaitReason.BREAKER_OPEN: "for a service that an open circuit breaker keeps from being called",
    WaitReason.BUDGET: "for the next day of a budget that is spent",
    WaitReason.LOCK_BUSY: "for a lock, or for an operation that another job carries out",
    WaitReason.EXTERNAL: "for a signal",
    WaitReason.CHILD: "for the end of a child job",
    WaitReason.DELAY: "for a step's delay to be over",
    WaitReason.UNDO: "for a worker, to undo what another job had done",
    WaitReason.SLICE: "for its next time slice",
    WaitReason.UNCLAIMABLE: "for code that can read what it stored",
    WaitReason.RELEASED: "for another worker, after its own gave it back",
    WaitReason.RECOVERED: "for another worker, after its own died",
}
CAUSES: Final[dict[FailureCause, str]] = {
    FailureCause.PERMANENT_ERROR: "a step failed in a way that no further try can mend",
    FailureCause.ATTEMPTS_EXHAUSTED: "a step used all its attempts",
    FailureCause.STEP_TIMEOUT: "a step took longer than its limit, again and again",
    FailureCause.JOB_TIMEOUT: "its running time, all claims of the run added, was over",
    FailureCause.DEADLINE_EXCEEDED: "its deadline passed",
    FailureCause.WAIT_LIMIT: "it waited for too long without using attempts",
    FailureCause.WORKER_LOST: "a step of it ended its worker process three times while alone in it",
    FailureCause.BUDGET_EXHAUSTED: "its budget was used up",
    FailureCause.OPERATOR: "an operator ended it",
}


def settings_page() -> str:
    """The page of all settings."""
    lines = ("# Settings", "", NOTE, "", SETTINGS_INTRO, *settings_table(describe()), "")
    documents = settings_table(describe_class(DocumentsSettings))
    remote = settings_table(describe_class(RemoteSettings))
    lines = (*lines, "## Documents", "", DOCUMENTS_INTRO, *documents, "")
    consensus = settings_table(describe_class(ConsensusSettings))
    lines = (*lines, "## Consensus", "", CONSENSUS_INTRO, *consensus, "")
    return "\n".join((*lines, "## Clients of an API", "", REMOTE_INTRO, *remote, ""))


def settings_table(rows: Iterable[SettingRow]) -> Iterator[str]:
    """A table of settings; secrets are marked."""
    cells = (
        (f"`{row.name}`{' *' if row.secret else ''}", row.default, row.range, row.meaning)
        for row in rows
    )
    return table(("setting", "default", "takes", "meaning"), cells)


def events_page() -> str:
    """The page of all events and of the fields that they bear."""
    lines = ["# Events", "", NOTE, "", EVENTS_INTRO]
    for title, name in FAMILIES:
        members = kinds_of(name)
        shared = shared_fields(members)
        lines += [f"## {title}", ""]
        if shared:
            lines += [f"All of these bear {', '.join(f'`{name}`' for name in shared)}.", ""]
        head = ("event", "level", "means", "further fields")
        lines += [*table(head, (event_row(kind, shared) for kind in members)), ""]
    used = {name for kind in EVENTS.values() for name in field_names(kind)}
    meanings = ((f"`{name}`", MEANINGS[name]) for name in sorted(used))
    return "\n".join((*lines, "## Fields", "", *table(("field", "meaning"), meanings), ""))


def metrics_page() -> str:
    """The page of all metrics."""
    known = {kind.name: kind for _, name in FAMILIES for kind in kinds_of(name)}
    counters = (
        (f"`headrace_{name}_total`", labels_text(labels_of(kind).values()))
        for name, kind in sorted(known.items())
    )
    histograms = (
        (f"`headrace_{name}_seconds`", labels_text(histogram_labels(name)), text)
        for name, text in HISTOGRAMS.items()
    )
    gauges = (
        (f"`headrace_{name}`", labels_text(gauge.labels), gauge.text)
        for name, gauge in GAUGES.items()
    )
    head = ("metric", "labels", "means")
    lines = ("# Metrics", "", NOTE, "", METRICS_INTRO, "## Gauges", "", GAUGES_INTRO)
    times = ("## Histograms", "", HISTOGRAMS_INTRO, *table(head, histograms), "")
    counts = ("## Counters", "", COUNTERS_INTRO, *table(head[:2], counters), "")
    return "\n".join((*lines, *table(head, gauges), "", *times, *counts))


def labels_text(labels: Iterable[str]) -> str:
    """Labels as a cell of a table."""
    return ", ".join(f"`{label}`" for label in labels)


def kinds_of(name: str) -> list[type[Event]]:
    """The events that a module of `headrace.telemetry` declares."""
    module = import_module(f"headrace.telemetry.{name}")
    return [kind for kind in EVENTS.values() if kind.__module__ == module.__name__]


def states_page() -> str:
    """The page of the states of jobs and steps."""
    jobs = (
        (f"`{source}`" if source else "", f"`{event}`", f"`{target}`", JOB_EVENTS[event])
        for (source, event), target in TRANSITIONS.items()
    )
    set_by = {
        reason: ", ".join(
            f"`{event}`" for event in JobEvent if reason in WAIT_REASONS.get(event, ())
        )
        for reason in WaitReason
    }
    waits = ((f"`{reason}`", set_by[reason], WAITS[reason]) for reason in WaitReason)
    causes = ((f"`{cause}`", CAUSES[cause]) for cause in FailureCause)
    steps = (
        (
            f"`{source}`",
            ", ".join(f"`{to}`" for to in StepState if (source, to) in STEP_TRANSITIONS),
        )
        for source in StepState
    )
    return "\n".join(
        (
            "# States of jobs and steps", "", NOTE, "", STATES_INTRO,
            f"A job is {', '.join(f'`{state}`' for state in JobState)}.", "",
            *table(("from", "event", "to", "when"), jobs), "",
            "## Why a job is queued", "",
            "Stored as `wait_reason`.", "",
            *table(("reason", "set by", "it waits"), waits), "",
            "## Why a job failed", "",
            "Stored as `cause`.", "",
            *table(("cause", "because"), causes), "",
            "## Steps and items", "",
            STEPS_INTRO,
            *table(("from", "to"), steps), "",
        )
    )  # fmt: skip


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
    pages = {
        "settings.md": settings_page(),
        "events.md": events_page(),
        "metrics.md": metrics_page(),
        "states.md": states_page(),
        "commands.md": commands_page(),
        "exit-codes.md": exits_page(),
        "http-api.md": http_page(),
        "consensus.md": consensus_page(),
    }
    stale = [name for name, text in pages.items() if read(FOLDER / name) != text]
    if "--check" in sys.argv[1:]:
        for name in stale:
            print(f"docs/reference/{name} is not current: run python -m scripts.generate_reference")
        return 1 if stale else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in stale:
        (FOLDER / name).write_text(pages[name], encoding="utf-8")
        print(f"wrote docs/reference/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
