"""`headrace doctor`: is all well? One line for each thing that was looked at."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from headrace.cli.exits import ExitCode
from headrace.cli.finding import Finding
from headrace.cli.output import Json, print_json
from headrace.cli.running import run_async
from headrace.errors import HeadraceError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from headrace.cli.database import Place
    from headrace.settings import Settings


def doctor(as_json: Json = False) -> None:
    """Check settings, database, clock, versions, schema, connections, jobs and broker."""
    findings = run_async(_examine(show=not as_json))
    if as_json:
        print_json([asdict(finding) for finding in findings])
    if any(finding.level == "fail" for finding in findings):
        raise typer.Exit(ExitCode.CHECK_FAILED)


async def _examine(*, show: bool) -> list[Finding]:
    findings = []
    async for finding in _findings():
        findings.append(finding)
        if show:
            typer.echo(str(finding))
    return findings


async def _findings() -> AsyncIterator[Finding]:
    from headrace.cli.settings import unknown_settings
    from headrace.settings import load_settings

    try:
        settings = load_settings()
    except HeadraceError as error:
        yield Finding("fail", "settings", str(error))
        return
    unknown = [setting.name for setting in unknown_settings()]
    if unknown:
        yield Finding("warn", "settings", f"mean nothing: {', '.join(unknown)}")
    else:
        yield Finding("ok", "settings", f"{settings.env}, log level {settings.log_level}")
    yield _version_finding()
    async for finding in _database_findings(settings):
        yield finding
    if settings.doorbell == "pubsub":
        yield await _broker_finding(settings)


def _version_finding() -> Finding:
    import platform

    from headrace import __version__

    return Finding("ok", "version", f"headrace {__version__}, Python {platform.python_version()}")


async def _broker_finding(settings: Settings) -> Finding:
    """Whether the topics and subscriptions are there, as one subscription for workers or as two."""
    from headrace.wiring import set_up_messaging

    try:
        looks = [
            await set_up_messaging(settings, check=True, filtered=filtered)
            for filtered in (False, True)
        ]
    except HeadraceError as error:
        return Finding("fail", "broker", str(error))
    found = min(looks, key=lambda look: sum(one.is_drift for one in look))
    drift = [f"{one.kind} {one.name} {one.state}" for one in found if one.is_drift]
    if drift:
        text = f"{', '.join(drift)}; see headrace pubsub setup --check"
        missing = any(one.state == "missing" for one in found)
        return Finding("fail" if missing else "warn", "broker", text)
    return Finding("ok", "broker", f"{len(found)} topics and subscriptions are as they should be")


async def _database_findings(settings: Settings) -> AsyncIterator[Finding]:
    import asyncpg

    from headrace.cli.database import open_place

    async with contextlib.AsyncExitStack() as stack:
        try:
            place = await stack.enter_async_context(open_place(settings))
            examined = [finding async for finding in _examine_server(settings, place)]
        except (HeadraceError, asyncpg.PostgresError, OSError) as error:
            yield Finding("fail", "database", str(error))
            return
        for finding in examined:
            yield finding


async def _examine_server(settings: Settings, place: Place) -> AsyncIterator[Finding]:
    from headrace.cli import examination
    from headrace.store.migrate import check_schema, migrate
    from headrace.store.pool import connect

    if place.embedded:
        await migrate(place.direct_dsn)
    connection = await connect(place.dsn, name="headrace doctor")
    try:
        server, offset_s, latency_s = await examination.meet(connection)
        yield examination.server_finding(server, latency_s, embedded=place.embedded)
        yield examination.clock_finding(offset_s)
        yield await examination.pooler_finding(connection, place)
        try:
            await check_schema(connection)
        except HeadraceError as error:
            yield Finding("fail", "schema", str(error))
            return
        yield Finding("ok", "schema", "is of this version")
        for check in (
            examination.wall_finding,
            examination.workers_finding,
            examination.unclaimable_finding,
            examination.stuck_finding,
            examination.schedules_finding,
            examination.failures_finding,
        ):
            yield await check(connection)
        yield await examination.identity_finding(connection, settings)
        yield await examination.webhooks_finding(connection, settings, embedded=place.embedded)
        yield await examination.connections_finding(connection, server, settings)
    finally:
        await connection.close()
