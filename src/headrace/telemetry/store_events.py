"""Events of the database, the ledger and the process around them."""

from __future__ import annotations

from headrace.telemetry.events import Event, Level, event


@event(Level.ERROR)
class DatabaseLost(Event):
    """The database does not answer; finished results are kept and no job fails because of it."""

    error: str
    worker_id: str | None = None


@event(Level.INFO)
class DatabaseBack(Event):
    """The database answers again."""

    outage_s: float
    worker_id: str | None = None


@event(Level.WARNING)
class LedgerSplit(Event):
    """A group commit was refused and is committed in parts, so that one record harms no other."""

    records: int
    error: str


@event(Level.WARNING)
class CommitUnknown(Event):
    """The reply to a commit was lost; the group was read back."""

    records: int
    found: int


@event(Level.WARNING)
class SettingUnknown(Event):
    """An environment variable with the prefix HEADRACE_ means nothing to this version."""

    setting: str
    close_matches: tuple[str, ...]


@event(Level.WARNING)
class LogLinesLost(Event):
    """Log lines were dropped, because nobody reads the standard output fast enough."""

    lines: int
