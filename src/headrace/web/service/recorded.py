"""What a process has seen of the parts that it needs: nobody is asked for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.store.signals import Signals
    from headrace.web.service.monitor import Monitor
    from headrace.web.state import Verifier


def recorded(monitor: Monitor, verifier: Verifier) -> dict[str, dict[str, Any]]:
    """A `Component` for each part, by its name; of a process that is ready."""
    return dict(_parts(monitor, verifier))


def _parts(monitor: Monitor, verifier: Verifier) -> Iterator[tuple[str, dict[str, Any]]]:
    age_s = monitor.probe.age_s
    for name in monitor.components:
        yield name, _part(age_s=age_s if name in {"database", "migrations"} else None)
    in_use, is_open, most = monitor.app.connections_in_use
    told = f"{in_use} in use, {is_open} open, {most} at most"
    yield "connections", _part("degraded" if in_use >= most else "ok", told)
    yield from _of_broker(monitor)
    yield from _of_service(monitor.seen)
    yield from _of_issuers(verifier)


def _of_broker(monitor: Monitor) -> Iterator[tuple[str, dict[str, Any]]]:
    if monitor.app.settings.doorbell == "pubsub":
        problem = monitor.app.messaging.broker.problem
        yield "broker", _part("degraded" if problem else "ok", problem)


def _of_service(seen: tuple[Signals, float] | None) -> Iterator[tuple[str, dict[str, Any]]]:
    if seen is None:
        yield "workers", _part("unknown", "nobody has asked for metrics or stats yet")
        return
    signals, age_s = seen
    lonely = sum(signals.depth[name, "unclaimable"] for name in signals.queues)
    status = "degraded" if lonely or not signals.workers else "ok"
    yield "workers", _part(status, f"{signals.workers} alive", age_s)
    paused = ", ".join(sorted(signals.paused))
    trouble = [f"{lonely} jobs that no worker carries"] * bool(lonely)
    trouble += [f"paused: {paused}"] * bool(paused)
    yield "queues", _part("degraded" if trouble else "ok", "; ".join(trouble) or None, age_s)


def _of_issuers(verifier: Verifier) -> Iterator[tuple[str, dict[str, Any]]]:
    known = getattr(verifier, "issuers", None)
    if not known:
        return
    away = sorted(name for name, is_away in known().items() if is_away)
    told = f"no answer: {', '.join(away)}" if away else None
    yield "identity", _part("degraded" if away else "ok", told)


def _part(
    status: str = "ok", detail: str | None = None, age_s: float | None = None
) -> dict[str, Any]:
    return {
        "status": status,
        "detail": detail,
        "age_s": None if age_s is None else round(age_s, 3),
    }
