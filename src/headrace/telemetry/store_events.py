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


@event(Level.INFO)
class DatabaseStarted(Event):
    """The embedded database runs, started by this process or found running."""

    folder: str
    version: str
    latency_ms: float


@event(Level.INFO)
class DatabaseStopped(Event):
    """The embedded database was stopped, because this was the last process that used it."""

    folder: str


@event(Level.INFO)
class SchemaMigrated(Event):
    """A numbered migration was applied."""

    migration: str
    latency_ms: float


@event(Level.WARNING)
class LedgerSplit(Event):
    """A group commit was refused and is committed in parts, so that one record harms no other."""

    records: int
    error: str


@event(Level.WARNING)
class LedgerFull(Event):
    """So many records wait for their commit that callers are slowed down."""

    records: int


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
