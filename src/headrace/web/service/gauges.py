"""What is so at the moment when metrics are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.telemetry.exposition import Gauge

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from headrace.store.signals import Signals
    from headrace.web.service.monitor import Monitor

NO_LABELS: Final[tuple[str, ...]] = ()
PER_STATE: Final = ("queue", "state")


async def gauges_of(monitor: Monitor) -> list[Gauge]:
    """All of them; those of the service are missing while the database does not tell."""
    signals = await monitor.signals()
    found = [*_of_process(monitor)]
    if signals is not None:
        found += _of_service(signals)
    return found


def _of_process(monitor: Monitor) -> Iterator[Gauge]:
    obstacles = monitor.obstacles()
    yield _one("ready", "Whether this process can do its work.", not obstacles)
    yield _one(
        "database_up", "Whether the database answers this process.", "database" not in obstacles
    )
    yield _one("uptime_seconds", "Since this process began.", monitor.uptime_s)
    in_use, is_open, most = monitor.app.connections_in_use
    states = {"in_use": in_use, "open": is_open, "most": most}
    yield Gauge(
        "pool_connections",
        "Connections of submissions and questions.",
        ("state",),
        {(state,): count for state, count in states.items()},
    )
    if monitor.streams is not None:
        yield _one("event_streams", "Clients that follow events.", monitor.streams())
    load = monitor.worker.load() if monitor.worker is not None else None
    if load is not None:
        yield _one("worker_running", "Jobs in this worker's hands.", load.running)
        yield _one("worker_free_slots", "Jobs that this worker could take.", load.free_slots)
        yield _one("worker_abandoned_steps", "Steps that ignored their end.", load.abandoned)
        yield _one(
            "worker_heartbeat_age_seconds", "Since this worker renewed its lease.", load.unrenewed_s
        )


def _of_service(signals: Signals) -> Iterator[Gauge]:
    yield Gauge(
        "queue_depth",
        "Jobs: due ones, those that wait for their time, running ones; `unclaimable` ones are due, "
        "and no worker carries them.",
        PER_STATE,
        _floats(signals.depth),
    )
    yield Gauge(
        "queue_oldest_age_seconds",
        "Since when the oldest of them is due or runs.",
        PER_STATE,
        _floats(signals.oldest_age_s),
    )
    yield Gauge(
        "queue_paused",
        "Whether nothing is claimed from the queue.",
        ("queue",),
        {(name,): float(name in signals.paused) for name in signals.queues},
    )
    yield _one("workers", "Workers that live.", signals.workers)
    if signals.heartbeat_age_s is not None:
        yield _one(
            "workers_heartbeat_age_seconds",
            "Since the most silent living worker renewed its lease.",
            signals.heartbeat_age_s,
        )
    yield _one("dead_letters", "Failed jobs that nobody dealt with.", signals.dead_letters)
    if signals.dead_letter_age_s is not None:
        yield _one(
            "dead_letter_oldest_age_seconds",
            "Since the oldest of them failed.",
            signals.dead_letter_age_s,
        )


def _one(name: str, text: str, value: float) -> Gauge:
    return Gauge(name, text, NO_LABELS, {(): float(value)})


def _floats(values: Mapping[tuple[str, str], float]) -> dict[tuple[str, ...], float]:
    return {words: float(value) for words, value in values.items()}
