"""What `headrace doctor` looks at in a database."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from headrace import __version__
from headrace.cli.finding import Finding
from headrace.store import condition, reads
from headrace.store.api_keys import has_api_keys
from headrace.store.outbox import measure_outbox
from headrace.store.pool import connect
from headrace.store.schedules import list_schedules
from headrace.store.wall import wall_stands
from headrace.store.workers import session_process

if TYPE_CHECKING:
    from headrace.cli.database import Place
    from headrace.settings import Settings
    from headrace.store.condition import Server
    from headrace.store.pool import HeldConnection

OLDEST_SERVER: Final = 15
CLOCK_S: Final = 2.0
"""Further apart, the times in our own logs mislead; leases use the server's clock alone."""
STUCK: Final = timedelta(minutes=30)
LATELY: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
LATE_S: Final = 300.0
SPARE_CONNECTIONS: Final = 10
OWN_CONNECTIONS: Final = 8
"""Of a worker beside its pools: claims, two of the ledger, upkeep, presence and its spare, those of
locks, and the one that hears of changes."""
MOST_WORKERS: Final = 1_000


async def meet(connection: HeldConnection) -> tuple[Server, float, float]:
    """The server, the seconds by which its clock is ahead of ours, and those of a round trip."""
    before, begun = datetime.now(UTC), time.perf_counter()
    server = await condition.describe_server(connection)
    took = time.perf_counter() - begun
    return server, (server.at - before).total_seconds() - took / 2, took


def server_finding(server: Server, latency_s: float, *, embedded: bool) -> Finding:
    """Whether the server is one that we can use."""
    kind = "the embedded one" if embedded else "answers"
    text = f"PostgreSQL {server.version}, {kind} in {latency_s * 1000:.1f} ms"
    if server.version_number // 10_000 < OLDEST_SERVER:
        return Finding("fail", "database", f"{text}; {OLDEST_SERVER} or newer is needed")
    return Finding("ok", "database", text)


def clock_finding(offset_s: float) -> Finding:
    """Whether this machine's clock agrees with the server's."""
    text = f"the database is {offset_s:+.3f} s from this machine"
    if abs(offset_s) > CLOCK_S:
        return Finding("warn", "clock", f"{text}; synchronise it, else log times mislead")
    return Finding("ok", "clock", text)


async def pooler_finding(connection: HeldConnection, place: Place) -> Finding:
    """Whether workers reach the server itself."""
    if await _is_direct(connection):
        return Finding("ok", "pooler", "none before the database")
    if place.direct_dsn == place.dsn:
        return Finding(
            "warn",
            "pooler",
            "one stands before the database: workers poll, and dead ones are found by their lease; "
            "set HEADRACE_DIRECT_DATABASE_URL",
        )
    direct = await connect(place.direct_dsn, name="headrace doctor")
    try:
        if await _is_direct(direct):
            return Finding("ok", "pooler", "HEADRACE_DIRECT_DATABASE_URL leads past it")
    finally:
        await direct.close()
    return Finding("fail", "pooler", "HEADRACE_DIRECT_DATABASE_URL leads to a pooler too")


async def _is_direct(connection: HeldConnection) -> bool:
    """Whether a session is one process of the server; a pooler answers with a number of its own."""
    seen = {await session_process(connection) for _ in range(3)}
    return seen == {connection.get_server_pid()}


async def wall_finding(connection: HeldConnection) -> Finding:
    """Whether the database itself keeps tenants apart, beside the statements of the API."""
    if await wall_stands(connection):
        return Finding("ok", "wall", "the database keeps the tenants of the API apart as well")
    user = await connection.fetchval("select current_user")
    return Finding(
        "warn",
        "wall",
        "the statements alone keep tenants apart; as an administrator: create role headrace_api "
        f'nologin; grant headrace_api to "{user}"; then, as the owner of the tables: select '
        "headrace.admit_api(); and, where their tables are there, select "
        "headrace_documents.admit_api(), headrace_consensus.admit_api()",
    )


async def identity_finding(connection: HeldConnection, settings: Settings) -> Finding:
    """Whom the API lets in."""
    names = [issuer.issuer for issuer in settings.auth_issuers]
    if await has_api_keys(connection):
        names.append("API keys")
    text = ", ".join(names) or "no issuer and no API key, so the API lets nobody in"
    return Finding("ok", "identity", text)


async def webhooks_finding(
    connection: HeldConnection, settings: Settings, *, embedded: bool
) -> Finding:
    """Whether webhooks can be told, and are told in time."""
    enabled, disabled = await condition.count_webhooks(connection)
    late_s = (await measure_outbox(connection)).webhooks_s
    text = f"{enabled} told, {disabled} disabled"
    if enabled and not (settings.signing_keys or embedded):
        return Finding(
            "warn", "webhooks", f"{text}; nothing can be signed here: set HEADRACE_SIGNING_KEYS"
        )
    if late_s > LATE_S:
        return Finding(
            "warn", "webhooks", f"{text}; a message is {late_s:.0f} s late: see that a worker runs"
        )
    return Finding("ok", "webhooks", text)


async def workers_finding(connection: HeldConnection) -> Finding:
    """Who works, and whether they are of this version."""
    workers = await reads.list_workers(connection, limit=MOST_WORKERS)
    living = [worker for worker in workers if worker.state in {"alive", "draining"}]
    now = datetime.now(UTC)
    lost = [worker for worker in workers if worker.lost_at and now - worker.lost_at < LATELY]
    text = f"{len(living)} alive, {len(lost)} lost in the last hour"
    others = {worker.version for worker in living} - {__version__}
    if others:
        return Finding("warn", "workers", f"{text}; also of version {', '.join(sorted(others))}")
    return Finding("warn" if lost else "ok", "workers", text)


async def unclaimable_finding(connection: HeldConnection) -> Finding:
    """Whether every queued job has a worker that carries it."""
    lanes = await reads.list_unclaimable(connection)
    if not lanes:
        return Finding("ok", "unclaimable", "no queued job is without a worker")
    shown = "; ".join(
        f"{lane.jobs} of {lane.pipeline} {lane.version} in queue {lane.queue}" for lane in lanes[:5]
    )
    return Finding(
        "fail", "unclaimable", f"no living worker carries {shown}; start one: headrace worker"
    )


async def stuck_finding(connection: HeldConnection) -> Finding:
    """Whether a job has been running for longer than half an hour."""
    jobs = await condition.stuck_jobs(connection, age=STUCK)
    if not jobs:
        return Finding("ok", "stuck", "no job has been running for over 30 min")
    shown = ", ".join(f"{job.id} ({job.pipeline}, worker {job.worker})" for job in jobs)
    return Finding("fail", "stuck", f"running for over 30 min: {shown}; see headrace jobs show")


async def schedules_finding(connection: HeldConnection) -> Finding:
    """Whether the slots of schedules have their jobs."""
    found = await list_schedules(connection)
    text = f"{len(found)} defined, {sum(one.state == 'paused' for one in found)} paused"
    failing = [one.address for one in found if one.state == "failing"]
    overdue = [one.address for one in found if one.state == "overdue"]
    if failing:
        text += f"; the functions of {', '.join(failing[:5])} fail: see headrace schedules list"
    if overdue:
        text += f"; no worker carries {', '.join(overdue[:5])}: start one: headrace worker"
    return Finding("warn" if failing or overdue else "ok", "schedules", text)


async def failures_finding(connection: HeldConnection) -> Finding:
    """How many steps failed lately."""
    failed = await condition.count_failed_tries(connection, within=LATELY, submitted_within=DAY)
    text = f"{failed} tries of steps failed in the last hour"
    return Finding("warn" if failed else "ok", "failures", text)


async def connections_finding(
    connection: HeldConnection, server: Server, settings: Settings
) -> Finding:
    """Whether all that may connect also can."""
    workers = await reads.list_workers(connection, limit=MOST_WORKERS)
    living = sum(worker.state in {"alive", "draining"} for worker in workers)
    most = (2 * living + 1) * settings.db_pool_max + living * OWN_CONNECTIONS
    text = (
        f"{server.connected} of {server.connections} in use; {living} workers and one client "
        f"with these settings take up to {most}"
    )
    if most > server.connections - SPARE_CONNECTIONS:
        advice = "lower HEADRACE_DB_POOL_MAX, raise max_connections or put a pooler before it"
        return Finding("warn", "connections", f"{text}: {advice}")
    return Finding("ok", "connections", text)
