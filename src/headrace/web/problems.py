"""What clients see of errors: RFC 9457 problems, from one table.

`CODES` has every problem code with its status and title. `problem_for` maps the families of
`headrace.errors` to them; an error that nobody knows becomes `INTERNAL_ERROR`, and its text stays
here: the request id finds it in the log.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import asyncpg
import orjson
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from headrace import errors
from headrace.store.failures import is_retryable, is_unavailable
from headrace.telemetry.masking import clean_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from starlette.types import Scope

MEDIA_TYPE: Final = "application/problem+json"
MALFORMED: Final = 400
"""The status of a request that could not be read: a body that is no JSON, a bad id or filter."""
SLOW: Final = 408
"""The status of a request whose body did not come in time."""
SHOWN_AS: Final = "headrace.shown_as"
"""Where a scope has the function that makes a page of a problem, if a person asks."""
REQUEST_ID: Final = "headrace.request_id"
"""Where the gate puts the id of a request, in its scope."""


class Code(NamedTuple):
    """A problem code: the status it comes with, and its title."""

    status: int
    title: str


CODES: Final[Mapping[str, Code]] = MappingProxyType(
    {
        "VALIDATION_ERROR": Code(422, "The request is not accepted"),
        "SCHEMA_VALIDATION_ERROR": Code(422, "The payload does not fit the pipeline"),
        "UNSUPPORTED_VERSION": Code(400, "This version is not supported"),
        "NOT_FOUND": Code(404, "Not found"),
        "METHOD_NOT_ALLOWED": Code(405, "The path has no such method"),
        "UNSUPPORTED_MEDIA_TYPE": Code(415, "The body is of another type than this path takes"),
        "CONFLICT": Code(409, "The state does not allow it"),
        "UNDO_UNDER_WAY": Code(409, "What the job had done is being undone"),
        "UNDO_FAILED": Code(409, "What the job had done is not all undone"),
        "NOT_COMPLETED": Code(409, "The job has no result"),
        "IDEMPOTENCY_KEY_REUSED": Code(422, "The key was used with another request"),
        "SIGNAL_TAKEN": Code(409, "Another value stands"),
        "SIGNAL_EXPIRED": Code(409, "The time for it was over before it came"),
        "JOB_FINISHED": Code(409, "The job has ended"),
        "LINK_EXPIRED": Code(410, "The link is no longer valid"),
        "STALE_TOKEN": Code(409, "Somebody else holds it by now"),
        "AUTH_REQUIRED": Code(401, "Credentials are missing or not accepted"),
        "FORBIDDEN": Code(403, "The credentials do not allow it"),
        "RATE_LIMITED": Code(429, "Too many requests"),
        "BUDGET_EXHAUSTED": Code(429, "The budget is used up"),
        "PAYLOAD_TOO_LARGE": Code(413, "The body is too large"),
        "DATABASE_ERROR": Code(503, "The database does not answer"),
        "LOCK_BUSY": Code(503, "Somebody else works on it"),
        "BREAKER_OPEN": Code(503, "Something that is needed does not answer"),
        "UNAVAILABLE": Code(503, "Something that is needed does not answer"),
        "TIMEOUT": Code(504, "The request took too long"),
        "LLM_AUTH_ERROR": Code(502, "The model's server does not accept our credentials"),
        "LLM_RATE_LIMIT": Code(503, "The model's server takes no more now"),
        "LLM_TIMEOUT": Code(504, "The model took too long"),
        "LLM_CONNECTION_ERROR": Code(502, "The model's server cannot be reached"),
        "LLM_SERVICE_ERROR": Code(502, "The model's server failed"),
        "INTERNAL_ERROR": Code(500, "An error on our side"),
        "CHECKPOINT_CORRUPT": Code(500, "A stored output cannot be used"),
        "OUTPUT_TOO_LARGE": Code(500, "An output is too large to be stored"),
    }
)
"""Every problem code."""


class Detail(NamedTuple):
    """One thing that is wrong: where, as `$.payload.title`, and what."""

    path: str
    message: str


@dataclass(frozen=True, slots=True)
class Problem:
    """What a client is told; every text in it is safe to show."""

    code: str
    detail: str
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    errors: Sequence[Detail] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    """More members of the document."""

    def body(self, scope: Scope) -> bytes:
        """The problem as JSON, for the request of this scope."""
        document: dict[str, object] = {
            "type": f"urn:headrace:problem:{self.code}",
            "title": CODES[self.code].title,
            "status": self.status,
            "detail": self.detail,
            "instance": clean_text(scope["path"]),  # a stranger's own text: it may hold a token
            "code": self.code,
            "request_id": scope.get(REQUEST_ID, ""),
        }
        if self.errors:
            document["errors"] = [error._asdict() for error in self.errors]
        document |= self.facts
        return orjson.dumps(document)

    def response(self, scope: Scope) -> Response:
        """The answer that tells it."""
        show: Callable[[Problem], Response] | None = scope.get(SHOWN_AS)
        if show is not None:
            return show(self)
        return Response(
            self.body(scope), self.status, headers=dict(self.headers), media_type=MEDIA_TYPE
        )


class ProblemError(Exception):
    """Raise it in a route or a dependency: the client gets this problem.

    Args:
        code: One of `CODES`.
        detail: Safe to show; the title of the code if left out.
        status: Another status than that of the code.
        headers: More headers of the answer.
        errors: What is wrong, and where.
        facts: More members of the document.
    """

    def __init__(
        self,
        code: str,
        detail: str | None = None,
        *,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[Detail] = (),
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(code, detail)
        self.code, self.detail = code, detail or CODES[code].title
        self.status = status or CODES[code].status
        self.headers, self.errors = dict(headers or {}), tuple(errors)
        self.facts = dict(facts or {})

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"

    def problem(self) -> Problem:
        """What the client is told."""
        return Problem(self.code, self.detail, self.status, self.headers, self.errors, self.facts)


def not_found(what: str = "job") -> ProblemError:
    """The same answer for what does not exist and for what is somebody else's."""
    return ProblemError("NOT_FOUND", f"there is no such {what}")


def invalid(found: Sequence[Any], start: str = "$") -> ProblemError:
    """What pydantic found in a body, as a problem.

    Args:
        found: Its errors.
        start: The path of the value that it looked at.
    """
    places = [Detail(path_of(detail["loc"], start), _text_of(detail)) for detail in found]
    return ProblemError("VALIDATION_ERROR", errors=places)


_TEXTS: Final = MappingProxyType(
    dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "an object is needed")
    | {"extra_forbidden": "there is no such field"}
)
"""In place of texts of pydantic that speak of Python."""


def _text_of(detail: Mapping[str, Any]) -> str:
    return _TEXTS.get(detail["type"], detail["msg"])


def path_of(location: Sequence[int | str], start: str = "$") -> str:
    """A location of pydantic as a path: `$.payload[2].title`."""
    return start + "".join(
        f"[{part}]" if isinstance(part, int) else f".{part}" for part in location
    )


def _made(code: str, error: object, **more: Any) -> Problem:
    return Problem(code, str(error), CODES[code].status, **more)


def _of_input(error: errors.InputError) -> Problem:
    places = [Detail(f"$.payload{path[1:]}", text) for path, text in error.problems]
    detail = f"the payload does not fit pipeline {error.pipeline}"
    return Problem("SCHEMA_VALIDATION_ERROR", detail, 422, errors=places)


def _of_option(error: errors.OptionError) -> Problem:
    option = "due_at" if error.option == "due" else error.option  # its name in Python
    detail = f"{option}: {error.problem}"
    return Problem("VALIDATION_ERROR", detail, 422, errors=[Detail(f"$.{option}", error.problem)])


def _of_unavailable(error: errors.UnavailableError) -> Problem:
    wait = str(max(1, ceil(error.retry_after.total_seconds())))
    is_database = isinstance(error, errors.DatabaseUnavailableError)
    code = "DATABASE_ERROR" if is_database else "UNAVAILABLE"
    return Problem(code, CODES[code].title, 503, {"Retry-After": wait})


def _hidden(code: str) -> Callable[[Any], Problem]:
    return lambda _: Problem(code, CODES[code].title, CODES[code].status)


_OF_THE_DATABASE: Final = (asyncpg.PostgresError, asyncpg.InterfaceError)

_START: Final = {"path": "path", "query": "query", "header": "header", "cookie": "cookie"}


def _of_validation(error: RequestValidationError) -> Problem:
    found = error.errors()
    places = [
        Detail(path_of(detail["loc"][1:], _START.get(detail["loc"][0], "$")), _text_of(detail))
        for detail in found
    ]
    # A body that does not fit is another thing than an id or a filter that is none.
    status = 422 if any(detail["loc"][0] == "body" for detail in found) else MALFORMED
    return Problem("VALIDATION_ERROR", CODES["VALIDATION_ERROR"].title, status, errors=places)


_BY_STATUS: Final = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}


def _of_http(error: HTTPException) -> Problem:
    code = _BY_STATUS.get(error.status_code, "VALIDATION_ERROR")
    return Problem(code, CODES[code].title, error.status_code, dict(error.headers or {}))


_FAMILIES: Final[tuple[tuple[type[BaseException], Callable[[Any], Problem]], ...]] = (
    (ProblemError, ProblemError.problem),
    (RequestValidationError, _of_validation),
    (HTTPException, _of_http),
    (errors.InputError, _of_input),
    (errors.OptionError, _of_option),
    (errors.OutputTooLargeError, _hidden("OUTPUT_TOO_LARGE")),
    (errors.CheckpointCorruptError, _hidden("CHECKPOINT_CORRUPT")),
    (errors.CodecError, _hidden("CHECKPOINT_CORRUPT")),
    (errors.JobNotFoundError, lambda _: not_found().problem()),
    (errors.StepNotFoundError, lambda error: _made("VALIDATION_ERROR", error)),
    (errors.PipelineNotFoundError, lambda error: _made("NOT_FOUND", error)),
    (errors.PresetNotFoundError, lambda error: _made("NOT_FOUND", error)),
    (errors.QueueNotFoundError, lambda error: _made("NOT_FOUND", error)),
    (errors.LockNotFoundError, lambda _: not_found("lock").problem()),
    (errors.SignalNotFoundError, lambda error: _made("NOT_FOUND", error)),
    (errors.JobFinishedError, lambda _: ProblemError("JOB_FINISHED").problem()),
    (errors.BreakerNotFoundError, lambda error: _made("NOT_FOUND", error)),
    (errors.ScheduleNotFoundError, lambda error: _made("NOT_FOUND", error)),
    (errors.ScheduleFunctionError, lambda error: _made("CONFLICT", error)),
    (errors.IdempotencyKeyReusedError, _hidden("IDEMPOTENCY_KEY_REUSED")),
    (errors.LeaseLostError, _hidden("STALE_TOKEN")),
    (errors.NotCompletedError, lambda error: _made("NOT_COMPLETED", error)),
    (errors.JobFailedError, _hidden("NOT_COMPLETED")),
    (errors.JobCancelledError, _hidden("NOT_COMPLETED")),
    (errors.TransitionError, lambda error: _made("CONFLICT", error)),
    (errors.UndoUnderWayError, lambda error: _made("UNDO_UNDER_WAY", error)),
    (errors.UndoFailedError, lambda error: _made("UNDO_FAILED", error)),
    (errors.UndoJobError, lambda error: _made("CONFLICT", error)),
    (errors.UnavailableError, _of_unavailable),
    (TimeoutError, _hidden("TIMEOUT")),
)


def problem_for(error: BaseException) -> Problem:
    """What a client is told of an error: of an unknown one `INTERNAL_ERROR`, without its text."""
    for kind, make in _FAMILIES:
        if isinstance(error, kind):
            return make(error)
    if isinstance(error, _OF_THE_DATABASE) and (is_unavailable(error) or is_retryable(error)):
        return _of_unavailable(errors.DatabaseUnavailableError("no answer"))
    return Problem("INTERNAL_ERROR", CODES["INTERNAL_ERROR"].title, 500)


# --- the document ---------------------------------------------------------------------------------


class ErrorPlace(BaseModel):
    """One thing that is wrong in a request."""

    path: str = Field(description="Where, as `$.payload.title`.", examples=["$.payload.title"])
    message: str = Field(description="What is wrong there.", examples=["Field required"])


class ProblemDocument(BaseModel):
    """An error, as RFC 9457 has it."""

    type: str = Field(examples=["urn:headrace:problem:NOT_FOUND"])
    title: str = Field(examples=["Not found"])
    status: int = Field(examples=[404])
    detail: str = Field(description="Safe to show.", examples=["there is no such job"])
    instance: str = Field(description="The path of the request.")
    code: str = Field(description="Stable, for programs.", examples=["NOT_FOUND"])
    request_id: str = Field(description="Finds the request in the log.")
    errors: list[ErrorPlace] | None = Field(default=None, description="What is wrong, and where.")


PROBLEM_SCHEMA: Final = "#/components/schemas/ProblemDocument"
"""Where the OpenAPI document has the form of problems."""
ALWAYS: Final = ("INTERNAL_ERROR", "TIMEOUT", "RATE_LIMITED")
READING: Final = ("AUTH_REQUIRED", "FORBIDDEN", "DATABASE_ERROR", "UNAVAILABLE")
"""What every route answers that reads for a caller."""
WRITING: Final = (
    *READING,
    "VALIDATION_ERROR",
    "IDEMPOTENCY_KEY_REUSED",
    "PAYLOAD_TOO_LARGE",
    "UNSUPPORTED_MEDIA_TYPE",
)
"""What every route answers that takes a body."""


def responses(*codes: str, malformed: bool = False) -> dict[int | str, dict[str, Any]]:
    """For `responses=` of a route: the statuses of these problem codes, each with its codes.

    Args:
        codes: What the route may answer besides success.
        malformed: Whether it also answers 400, to ids, filters or bodies that cannot be read.
    """
    by_status: dict[int, list[str]] = {MALFORMED: ["VALIDATION_ERROR"]} if malformed else {}
    for code in (*codes, *ALWAYS):
        by_status.setdefault(CODES[code].status, []).append(code)
    return {status: _documented(status, names) for status, names in sorted(by_status.items())}


def gate_responses() -> dict[str, dict[str, Any]]:
    """What is answered to a body before any route is looked for, by status."""
    codes = {
        MALFORMED: "VALIDATION_ERROR",
        SLOW: "TIMEOUT",
        CODES["PAYLOAD_TOO_LARGE"].status: "PAYLOAD_TOO_LARGE",
        CODES["UNSUPPORTED_MEDIA_TYPE"].status: "UNSUPPORTED_MEDIA_TYPE",
    }
    return {str(status): _documented(status, [code]) for status, code in codes.items()}


def also(told: Mapping[str, Any] | None, code: str) -> dict[str, Any]:
    """What is told of a status, with one more code that it may have.

    Args:
        told: As `responses` made it; None where nothing was told.
        code: Its status is the same.
    """
    codes = [] if told is None else list(told["content"][MEDIA_TYPE]["examples"])
    return _documented(CODES[code].status, [*codes, code])


def _documented(status: int, codes: Sequence[str]) -> dict[str, Any]:
    examples = {
        code: {
            "value": {
                "type": f"urn:headrace:problem:{code}",
                "title": CODES[code].title,
                "status": status,
                "detail": CODES[code].title,
                "instance": "/v1/jobs",
                "code": code,
                "request_id": "01a2b3c4",
            }
        }
        for code in codes
    }
    return {
        "description": ", ".join(f"`{code}`: {CODES[code].title}" for code in codes),
        "content": {MEDIA_TYPE: {"schema": {"$ref": PROBLEM_SCHEMA}, "examples": examples}},
    }
