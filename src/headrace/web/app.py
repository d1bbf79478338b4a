"""The composition of the HTTP room: one FastAPI application over a `Headrace`."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from headrace import __version__
from headrace.errors import HeadraceError
from headrace.telemetry.tracing import adopt_tracing
from headrace.web.auth.schedulers import make_scheduler
from headrace.web.auth.verifier import make_verifier
from headrace.web.consensus import reviews_of
from headrace.web.document import describe
from headrace.web.events.hub import Hub
from headrace.web.express import Express
from headrace.web.gate import paths
from headrace.web.gate.body import BodyGate, BodyLimits
from headrace.web.gate.envelope import Envelope
from headrace.web.gate.limit import TimeLimit
from headrace.web.gate.rates import AddressRates, RateGate
from headrace.web.gate.traced import Traced
from headrace.web.library import documents_of
from headrace.web.pages import page_policy, problem_page
from headrace.web.problems import ProblemError, problem_for
from headrace.web.push import routes as push_routes
from headrace.web.push.guard import make_pusher
from headrace.web.rates import TenantRates
from headrace.web.routes import (
    actions,
    artifacts,
    callbacks,
    dead_letters,
    documents,
    events,
    jobs,
    links,
    listing,
    pipelines,
    queues,
    signals,
    submission,
    uploads,
    webhooks,
)
from headrace.web.routes.admin import ADMIN
from headrace.web.service import routes as service_routes
from headrace.web.service import tasks
from headrace.web.service.monitor import Monitor
from headrace.web.state import Service, Verifier
from headrace.web.submitting import Submissions
from headrace.web.uploads import FORM_BYTES
from headrace.web.wall import Wall

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from types import ModuleType

    from headrace.app import Headrace
    from headrace.settings import Settings
    from headrace.web.events.hub import Pace
    from headrace.web.push.desk import Desk
    from headrace.worker.worker import Worker

NO_TELEMETRY: Final[TelemetryConfig] = {
    "tracing": False, "metrics": False, "logs": False, "operation_spans": False,
    "auto_configure": False,
}  # fmt: skip
"""The framework's own would tell addresses and errors as they are; ours are masked and bounded."""
DEVELOPMENT_ORIGIN: Final = ("http://localhost:5173",)
METHODS: Final = ("GET", "POST", "PUT", "DELETE")
EXPOSED: Final = (
    "Location", "Retry-After", "X-Request-ID", "Idempotent-Replay", "X-Schema-Version",
)  # fmt: skip
"""Headers of answers that pages of other origins may read."""
OF_JOBS: Final = (submission, listing, jobs, events, actions, artifacts, signals, links)
OF_ENGINE: Final = (dead_letters, pipelines, queues, webhooks)
OF_PROCESSES: Final = (service_routes, tasks)
"""Modules with a `router`: those of the API, and those that a worker's own port has too."""


def create_api(
    app: Headrace, *, verifier: Verifier | None = None, pace: Pace | None = None
) -> FastAPI:
    """The API of an application; it opens that when it starts, and leaves it open when it ends.

    Args:
        app: Its jobs.
        verifier: Tells whose a credential is; that of `make_verifier` if left out.
        pace: Other durations of event streams, for tests.
    """
    monitor = Monitor(app, mode="api")
    service = _service(app, monitor, verifier, Hub(app, pace=pace))
    service.documents = documents_of(app, service.wall)
    service.reviews = reviews_of(app, service.wall)
    service.rates = _rates(app)
    return _compose(service, tuple(_modules(service)))


def _rates(app: Headrace) -> TenantRates | None:
    settings = app.settings
    writes, reads = settings.rate_tenant_writes, settings.rate_tenant_reads
    costly = settings.rate_tenant_costly
    if not (writes or reads or costly):
        return None
    return TenantRates(app, writes=writes, reads=reads, costly=costly)


def _modules(service: Service) -> Iterator[ModuleType]:
    yield from OF_JOBS + OF_ENGINE + OF_PROCESSES
    if service.documents is not None:
        yield uploads  # before: `uploads` is no id of a document
        yield documents
        yield callbacks
    if service.reviews is not None:
        yield from _of_reviews()
    if service.settings.admin_api:
        yield from ADMIN


def _of_reviews() -> Iterator[ModuleType]:
    """Routes that need what the pipeline `consensus` has imported."""
    from headrace.web.routes import consensus, revisions, schemas  # noqa: PLC0415

    yield from (consensus, revisions, schemas)


def create_service(app: Headrace, worker: Worker, *, verifier: Verifier | None = None) -> FastAPI:
    """What a worker tells of itself, without the API of jobs; guarded in the same way.

    Args:
        app: The worker's.
        worker: Of whom it tells.
        verifier: As for `create_api`.
    """
    monitor = Monitor(app, mode="worker", worker=worker)
    return _compose(_service(app, monitor, verifier, Hub(app)), OF_PROCESSES)


def create_push(app: Headrace, desk: Desk, *, verifier: Verifier | None = None) -> FastAPI:
    """As `create_service`, with POST /push; it does nothing but answer requests.

    Args:
        app: Whose jobs. The database may be away when this starts.
        desk: What takes the messages.
        verifier: As for `create_api`.

    Raises:
        SettingsError: Nobody may push.
    """
    monitor = Monitor(app, mode="worker", worker=desk, on_demand=True)
    service = _service(app, monitor, verifier, Hub(app))
    service.desk, service.pusher = desk, make_pusher(app.settings)
    return _compose(service, (*OF_PROCESSES, push_routes))


def _service(app: Headrace, monitor: Monitor, verifier: Verifier | None, hub: Hub) -> Service:
    verifier = verifier or make_verifier(app)
    monitor.streams = lambda: hub.streams
    return Service(
        app, app.settings, verifier, Wall(app), Submissions(app), hub, monitor,
        scheduler=make_scheduler(app.settings),
    )  # fmt: skip


def _compose(service: Service, modules: tuple[ModuleType, ...]) -> FastAPI:
    settings = service.settings
    is_development = settings.env == "development"

    @contextlib.asynccontextmanager
    async def live(_: FastAPI) -> AsyncIterator[None]:
        if service.desk is None:
            await service.app.open()
        service.monitor.start()
        service.submissions.start()
        try:
            yield
        finally:
            await service.hub.close()
            if service.documents is not None:
                await service.documents.close()
            await service.submissions.stop()
            await service.monitor.stop()
            await service.verifier.close()
            for account in (service.scheduler, service.pusher):
                if account is not None:
                    await account.close()

    api = FastAPI(
        title="headrace",
        version=__version__,
        lifespan=live,
        docs_url="/docs" if is_development else None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry=NO_TELEMETRY,
    )
    api.state.service = service
    _answer_errors(api)
    if submission in modules:
        api.add_middleware(Express, route=submission.ROUTE, serve=submission.submit_at_once)
    _guard(api, settings)
    for module in modules:
        api.include_router(module.router)
    api.openapi = describe(api)  # type: ignore[method-assign]
    return api


def _guard(api: FastAPI, settings: Settings) -> None:
    """Put the gate before the routes; the layer that is added last is the outermost."""
    limits = BodyLimits(
        settings.max_json_bytes, settings.max_body_bytes, settings.max_upload_bytes + FORM_BYTES
    )
    rates = AddressRates(
        settings.rate_submit, settings.rate_status, settings.rate_health, settings.rate_other
    )
    api.add_middleware(BodyGate, limits=limits, takes_upload=paths.takes_upload)
    api.add_middleware(TimeLimit, may_last=paths.may_last, seconds=settings.request_limit_s)
    api.add_middleware(RateGate, rates=rates, submits=paths.submits, clock=monotonic)
    origins = settings.cors_origins or (DEVELOPMENT_ORIGIN if settings.env == "development" else ())
    if origins:
        api.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=METHODS,
            allow_headers=settings.cors_allow_headers,
            expose_headers=EXPOSED,
        )
    is_production, pages = settings.env == "production", (page_policy(), problem_page)
    api.add_middleware(Envelope, is_production=is_production, pages=pages)
    tracing = adopt_tracing()
    if tracing is not None:
        api.add_middleware(Traced, tracing=tracing)


def _answer_errors(api: FastAPI) -> None:
    for kind in (HeadraceError, ProblemError, TimeoutError, RequestValidationError, HTTPException):
        api.add_exception_handler(kind, _tell)


async def _tell(request: Request, error: Exception) -> Response:
    problem = problem_for(error)
    if problem.code == "METHOD_NOT_ALLOWED":  # the router knows the methods of one route only
        allowed = [method for method in METHODS if _takes(request, method)]
        problem = replace(problem, headers={"Allow": ", ".join(allowed)})
    return problem.response(request.scope)


def _takes(request: Request, method: str) -> bool:
    scope = {**request.scope, "method": method}
    return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)
