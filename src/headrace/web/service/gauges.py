"""What is so at the moment when metrics are read."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from headrace.telemetry.exposition import Gauge

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from headrace.store.signals import Signals
    from headrace.web.service.monitor import Monitor


class Meaning(NamedTuple):
    """What a gauge says, and its labels."""

    text: str
    labels: tuple[str, ...] = ()


GAUGES: Final = MappingProxyType(
    {
        "ready": Meaning("Whether this process can do its work."),
        "database_up": Meaning("Whether the database answers this process."),
        "uptime_seconds": Meaning("Since this process began."),
        "pool_connections": Meaning(
            "Connections of submissions and questions: `in_use`, `open`, `most`.", ("state",)
        ),
        "locks_held": Meaning("Locks that this process holds."),
        "event_streams": Meaning("Clients that follow events."),
        "worker_running": Meaning("Jobs in this worker's hands."),
        "worker_free_slots": Meaning("Jobs that this worker could take."),
        "worker_abandoned_steps": Meaning("Steps that ignored their end and still run here."),
        "worker_heartbeat_age_seconds": Meaning("Since this worker renewed its lease."),
        "queue_depth": Meaning(
            "Jobs: `due` ones, those `waiting` for their time, a signal or another job, those "
            "`blocked` by their key or tenant, `running` ones; `unclaimable` ones are due, and no "
            "living worker carries them.",
            ("queue", "state"),
        ),
        "blocked_jobs": Meaning(
            "Due jobs that wait for others: because of their `ordering_key` or `concurrency_key`, "
            "or of the `tenant_limit`.",
            ("reason",),
        ),
        "queue_oldest_age_seconds": Meaning(
            "Since when the oldest of them is due or runs.", ("queue", "state")
        ),
        "queue_paused": Meaning("Whether nothing is claimed from the queue.", ("queue",)),
        "workers": Meaning("Workers that live."),
        "workers_heartbeat_age_seconds": Meaning(
            "Since the most silent living worker renewed its lease."
        ),
        "dead_letters": Meaning("Failed jobs that nobody dealt with."),
        "dead_letter_oldest_age_seconds": Meaning("Since the oldest of them failed."),
        "outbox_lag_seconds": Meaning(
            "What leaves: since when the oldest message of a `topic` waits, by how much the event "
            "for a `webhook` that is most overdue is.",
            ("channel",),
        ),
        "breakers": Meaning(
            "Circuit breakers: `closed`, `open`, `half_open`; those of tenants together.",
            ("dependency", "state"),
        ),
    }
)
"""All gauges, without the prefix `headrace_`; those from `queue_depth` on are of the service."""
Words: TypeAlias = tuple[str, ...]
Values: TypeAlias = "tuple[str, Mapping[Words, float]]"


async def gauges_of(monitor: Monitor) -> list[Gauge]:
    """All of them; those of the service are missing while the database does not tell."""
    signals = await monitor.signals()
    found = [*_of_process(monitor)]
    if signals is not None:
        found += _of_service(signals)
    return [Gauge(name, *GAUGES[name], values) for name, values in found]


def _of_process(monitor: Monitor) -> Iterator[Values]:
    obstacles = monitor.obstacles()
    yield _one("ready", not obstacles)
    yield _one("database_up", "database" not in obstacles)
    yield _one("uptime_seconds", monitor.uptime_s)
    in_use, is_open, most = monitor.app.connections_in_use
    counts = {"in_use": in_use, "open": is_open, "most": most}
    yield "pool_connections", {(state,): float(count) for state, count in counts.items()}
    yield _one("locks_held", monitor.app.locks.held)
    if monitor.streams is not None:
        yield _one("event_streams", monitor.streams())
    load = monitor.worker.load() if monitor.worker is not None else None
    if load is not None:
        yield _one("worker_running", load.running)
        yield _one("worker_free_slots", load.free_slots)
        yield _one("worker_abandoned_steps", load.abandoned)
        yield _one("worker_heartbeat_age_seconds", load.unrenewed_s)


def _of_service(signals: Signals) -> Iterator[Values]:
    yield "queue_depth", {words: float(count) for words, count in signals.depth.items()}
    yield "queue_oldest_age_seconds", signals.oldest_age_s
    yield "queue_paused", {(name,): float(name in signals.paused) for name in signals.queues}
    yield _one("workers", signals.workers)
    if signals.heartbeat_age_s is not None:
        yield _one("workers_heartbeat_age_seconds", signals.heartbeat_age_s)
    yield _one("dead_letters", signals.dead_letters)
    if signals.dead_letter_age_s is not None:
        yield _one("dead_letter_oldest_age_seconds", signals.dead_letter_age_s)
    topics_s, webhooks_s = signals.outbox
    yield "outbox_lag_seconds", {("topic",): topics_s, ("webhook",): webhooks_s}
    yield "breakers", {words: float(count) for words, count in signals.breakers.items()}
    yield "blocked_jobs", {(reason,): float(jobs) for reason, jobs in signals.blocked.items()}


def _one(name: str, value: float) -> Values:
    return name, {(): float(value)}
