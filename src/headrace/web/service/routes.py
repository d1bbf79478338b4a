"""GET /health, /ready, /stats and /metrics, of the API and of a worker's own port."""

from __future__ import annotations

import asyncio
import hmac
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from headrace import __version__
from headrace.settings import unknown_settings
from headrace.telemetry.exposition import render
from headrace.telemetry.summary import codes_of, jobs_of, latencies_of, steps_of
from headrace.web.answers import json_response
from headrace.web.auth.depends import CHALLENGE, Operator, operates
from headrace.web.problems import READING, Detail, ProblemError, responses
from headrace.web.service.gauges import gauges_of
from headrace.web.service.recorded import recorded
from headrace.web.state import service_of
from headrace.web.views.service import Health, Readiness, Stats

if TYPE_CHECKING:
    from headrace.settings import Settings
    from headrace.store.signals import Signals
    from headrace.web.service.monitor import Monitor

router = APIRouter(tags=["service"])

SERVICE: Final = "headrace"
OTHERS: Final = "HEADRACE_DOCUMENTS_"
"""Settings of a shipped pipeline, which reads them itself."""
RETRY_S: Final = 5
SHOWN: Final = (
    *("env", "log_level", "queues", "concurrency", "claim_batch", "doorbell", "poll_interval_s"),
    *("lease_s", "heartbeat_s", "step_timeout_s", "job_timeout_s", "shutdown_grace_s"),
    *("max_lease_losses", "max_payload_bytes", "db_pool_max", "retain_jobs_d"),
)
"""Settings that are told to operators."""


def monitor_of(request: Request) -> Monitor:
    """What this process knows of itself."""
    return service_of(request).monitor


@router.get(
    "/health",
    operation_id="health",
    response_model=Health,
    responses={
        503: {"model": Health, "description": "The main loop stood still for over 30 s."},
        **responses(),
    },
)
async def health(request: Request) -> Response:
    """Whether the process lives: its main loop goes round. Needs no database."""
    monitor = monitor_of(request)
    settings = monitor.app.settings
    status = "degraded" if monitor.obstacles() else "healthy"
    if not monitor.pulse.beats:
        status = "stalled"
    body = {
        "status": status,
        "service": SERVICE,
        "version": __version__,
        "env": settings.env,
        "mode": monitor.mode,
        "timestamp": datetime.now(UTC),
        "uptime_seconds": round(monitor.uptime_s, 3),
        "config_status": "warning" if _is_misconfigured() else "ok",
        "debug": settings.env == "development",
    }
    return json_response(body, 503 if status == "stalled" else 200)


def _is_misconfigured() -> bool:
    return any(not unknown.name.startswith(OTHERS) for unknown in unknown_settings())


@router.get(
    "/ready",
    operation_id="ready",
    response_model=Readiness,
    responses=responses("AUTH_REQUIRED", "FORBIDDEN", "UNAVAILABLE", malformed=True),
)
async def ready(
    request: Request,
    deep: Annotated[  # noqa: FBT002 - a query parameter
        bool, Query(description="Tell of each component; takes the scope `operator`.")
    ] = False,
) -> Response:
    """Whether the process can do its work: else 503 with the reason.

    It knows that from what it asked the database within the last seconds, so an answer costs no
    question. While a worker drains, it is not ready.
    """
    monitor = monitor_of(request)
    if deep:
        await operates(request)
    await monitor.probe.look()
    obstacles = monitor.obstacles()
    if obstacles:
        raise ProblemError(
            "UNAVAILABLE",
            "; ".join(f"{name}: {reason}" for name, reason in obstacles.items()),
            headers={"Retry-After": str(RETRY_S)},
            errors=[Detail(name, reason) for name, reason in obstacles.items()],
        )
    components = recorded(monitor, service_of(request).verifier) if deep else None
    return json_response({"status": "ready", "components": components})


@router.get("/stats", operation_id="stats", response_model=Stats, responses=responses(*READING))
async def stats(request: Request, _: Operator) -> Response:
    """What this process did since it began, and the state of all queues."""
    monitor = monitor_of(request)
    metrics = monitor.metrics
    last_at = metrics.recent.last_at
    load = monitor.worker.load() if monitor.worker is not None else None
    signals = await monitor.signals()
    body = {
        "service": SERVICE,
        "version": __version__,
        "mode": monitor.mode,
        "host": monitor.host,
        "started_at": monitor.started_at,
        "uptime_seconds": round(monitor.uptime_s, 3),
        "jobs": {
            **jobs_of(metrics),
            "last_job_at": None if last_at is None else datetime.fromtimestamp(last_at, UTC),
        },
        "latencies": latencies_of(metrics),
        "steps": steps_of(metrics),
        "error_codes": codes_of(metrics),
        "worker": None
        if load is None
        else {
            "running": load.running,
            "free_slots": load.free_slots,
            "abandoned": load.abandoned,
            "heartbeat_age_s": round(load.unrenewed_s, 3),
        },
        "queues": None if signals is None else _queues(monitor, signals),
        "settings": _shown(monitor.app.settings),
    }
    return json_response(body)


def _queues(monitor: Monitor, signals: Signals) -> list[dict[str, object]]:
    drain_s = monitor.drain_s()
    return [
        {
            "queue": name,
            "due": signals.depth[name, "due"],
            "waiting": signals.depth[name, "waiting"],
            "blocked": signals.depth[name, "blocked"],
            "running": signals.depth[name, "running"],
            "unclaimable": signals.depth[name, "unclaimable"],
            "oldest_due_s": round(signals.oldest_age_s[name, "due"], 3),
            "paused": name in signals.paused,
            "drain_s": drain_s.get(name),
        }
        for name in signals.queues
    ]


def _shown(settings: Settings) -> dict[str, object]:
    return {name: getattr(settings, name) for name in SHOWN}


@router.get(
    "/metrics",
    operation_id="metrics",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {}}, "description": "In the text format of Prometheus."},
        **responses("AUTH_REQUIRED", "FORBIDDEN"),
    },
)
async def metrics(request: Request) -> Response:
    """Metrics for Prometheus: what this process counted, and the state of the service now.

    With METRICS_TOKEN set it takes that as bearer token. Without it, the API in production tells
    nothing; a worker's own port does.
    """
    monitor = monitor_of(request)
    _check_reader(request, monitor)
    gauges = await gauges_of(monitor)
    accept = request.headers.get("accept", "")
    text, content_type = await asyncio.to_thread(render, monitor.metrics, gauges, accept)
    return Response(text, headers={"content-type": content_type})


def _check_reader(request: Request, monitor: Monitor) -> None:
    settings = monitor.app.settings
    wanted = settings.metrics_token
    if wanted is None:
        if settings.env == "production" and monitor.mode != "worker":
            raise ProblemError("FORBIDDEN", "metrics are told here once METRICS_TOKEN is set")
        return
    given = request.headers.get("authorization", "")
    expected = f"Bearer {wanted.get_secret_value()}"
    if not hmac.compare_digest(given.encode(), expected.encode()):
        raise ProblemError("AUTH_REQUIRED", headers={"WWW-Authenticate": CHALLENGE})
