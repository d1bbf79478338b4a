"""The composition of the HTTP room: one FastAPI application over a `Headrace`."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from headrace import __version__
from headrace.errors import HeadraceError
from headrace.web.problems import (
    CODES,
    Detail,
    Problem,
    ProblemError,
    problem_for,
)
from headrace.web.routes import jobs
from headrace.web.state import Service, Verifier

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from headrace.app import Headrace
    from headrace.web.auth.identity import Identity


def create_api(app: Headrace, *, verifier: Verifier | None = None) -> FastAPI:
    """The API of an application, which it opens when it starts.

    Args:
        app: Its jobs.
        verifier: Tells whose a credential is; without one nobody is let in.
    """
    settings = app.settings
    is_development = settings.env == "development"

    @contextlib.asynccontextmanager
    async def live(_: FastAPI) -> AsyncIterator[None]:
        await app.open()
        yield

    api = FastAPI(
        title="headrace",
        version=__version__,
        lifespan=live,
        docs_url="/docs" if is_development else None,
        redoc_url=None,
        redirect_slashes=False,
    )
    api.state.service = Service(app, settings, verifier or _Nobody())
    _answer_errors(api)
    api.include_router(jobs.router)
    return api


class _Nobody:
    async def verify(self, credential: str) -> Identity:  # noqa: ARG002 - whatever it is
        raise ProblemError("AUTH_REQUIRED", headers={"WWW-Authenticate": "Bearer"})


def _answer_errors(api: FastAPI) -> None:
    for kind in (HeadraceError, ProblemError, TimeoutError):
        api.add_exception_handler(kind, _tell)
    api.add_exception_handler(RequestValidationError, _tell_invalid)
    api.add_exception_handler(HTTPException, _tell_http)


async def _tell(request: Request, error: Exception) -> Response:
    return problem_for(error).response(request.scope)


async def _tell_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - what it is registered for
    places = [Detail(_path(detail["loc"]), detail["msg"]) for detail in error.errors()]
    code = CODES["VALIDATION_ERROR"]
    return Problem("VALIDATION_ERROR", code.title, code.status, errors=places).response(
        request.scope
    )


def _path(location: tuple[int | str, ...]) -> str:
    where, *rest = location
    start = "$" if where == "body" else f"{where}:"
    return start + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in rest)


_BY_STATUS = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}


async def _tell_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - what it is registered for
    code = _BY_STATUS.get(error.status_code, "VALIDATION_ERROR")
    return Problem(code, CODES[code].title, error.status_code, dict(error.headers or {})).response(
        request.scope
    )
