"""The composition of the HTTP room: one FastAPI application over a `Headrace`."""

from __future__ import annotations

import contextlib
from time import monotonic
from typing import TYPE_CHECKING, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from headrace import __version__
from headrace.errors import HeadraceError
from headrace.web.auth.verifier import make_verifier
from headrace.web.document import describe
from headrace.web.express import Express
from headrace.web.gate import paths
from headrace.web.gate.body import BodyGate, BodyLimits
from headrace.web.gate.envelope import Envelope
from headrace.web.gate.limit import TimeLimit
from headrace.web.gate.rates import AddressRates, RateGate
from headrace.web.problems import ProblemError, problem_for
from headrace.web.routes import actions, artifacts, jobs, listing, submission
from headrace.web.state import Service, Verifier
from headrace.web.submitting import Submissions
from headrace.web.wall import Wall

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from headrace.app import Headrace
    from headrace.settings import Settings

DEVELOPMENT_ORIGIN: Final = ("http://localhost:5173",)
METHODS: Final = ("GET", "POST", "DELETE")
EXPOSED: Final = ("Location", "Retry-After", "X-Request-ID", "Idempotent-Replay")
"""Headers of answers that pages of other origins may read."""


def create_api(app: Headrace, *, verifier: Verifier | None = None) -> FastAPI:
    """The API of an application; it opens that when it starts, and leaves it open when it ends.

    Args:
        app: Its jobs.
        verifier: Tells whose a credential is; that of `make_verifier` if left out.
    """
    settings = app.settings
    verifier = verifier or make_verifier(app)
    service = Service(app, settings, verifier, Wall(app), Submissions(app))
    is_development = settings.env == "development"

    @contextlib.asynccontextmanager
    async def live(_: FastAPI) -> AsyncIterator[None]:
        await app.open()
        service.submissions.start()
        try:
            yield
        finally:
            await service.submissions.stop()
            await verifier.close()

    api = FastAPI(
        title="headrace",
        version=__version__,
        lifespan=live,
        docs_url="/docs" if is_development else None,
        redoc_url=None,
        redirect_slashes=False,
    )
    api.state.service = service
    _answer_errors(api)
    _guard(api, settings)
    for module in (submission, listing, jobs, actions, artifacts):
        api.include_router(module.router)
    api.openapi = describe(api)  # type: ignore[method-assign]
    return api


def _guard(api: FastAPI, settings: Settings) -> None:
    """Put the gate before the routes; the layer that is added last is the outermost."""
    limits = BodyLimits(settings.max_json_bytes, settings.max_body_bytes, settings.max_upload_bytes)
    rates = AddressRates(
        settings.rate_submit, settings.rate_status, settings.rate_health, settings.rate_other
    )
    api.add_middleware(Express, route=submission.ROUTE, serve=submission.submit_at_once)
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
    api.add_middleware(Envelope, is_production=settings.env == "production")


def _answer_errors(api: FastAPI) -> None:
    for kind in (HeadraceError, ProblemError, TimeoutError, RequestValidationError, HTTPException):
        api.add_exception_handler(kind, _tell)


async def _tell(request: Request, error: Exception) -> Response:
    return problem_for(error).response(request.scope)
