"""The OpenAPI document: FastAPI's, with problems in their own form and nothing that is not so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fastapi.openapi.utils import get_openapi

from headrace.web.gate.envelope import SCHEMA_VERSION, VERSION_HEADER
from headrace.web.problems import MEDIA_TYPE, ProblemDocument, also, gate_responses
from headrace.web.views.documents import ParserNews, SentDocument
from headrace.web.views.signals import LinkAnswered, LinkView
from headrace.web.views.submission import body_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator

    from fastapi import FastAPI
    from pydantic import BaseModel

ABOUT: Final = """\
Submit jobs, follow them, operate them. Every `/v1` path takes a bearer token: a JWT of a trusted
issuer, or an API key. An error is a problem document (RFC 9457) with a stable `code`.
"""
OF_FASTAPI: Final = frozenset({"HTTPValidationError", "ValidationError"})
"""Its own form of errors, which this API does not use."""
VERSIONED: Final = "/v1/"
VERSION_PARAMETER: Final[dict[str, Any]] = {
    "name": VERSION_HEADER,
    "in": "header",
    "required": False,
    "description": "The version of bodies that the client was written for; every answer names "
    "that of the service.",
    "schema": {"type": "string", "enum": [SCHEMA_VERSION]},
}
WITH_BODY: Final = frozenset({"post", "put", "patch", "delete"})
"""Methods whose bodies the gate reads, also where no route takes one."""


def describe(api: FastAPI) -> Callable[[], dict[str, Any]]:
    """For `api.openapi`: makes the document when it is first asked for."""

    def document() -> dict[str, Any]:
        if api.openapi_schema is None:
            api.openapi_schema = _corrected(
                get_openapi(
                    title=api.title, version=api.version, description=ABOUT, routes=api.routes
                )
            )
        return api.openapi_schema

    return document


def _corrected(document: dict[str, Any]) -> dict[str, Any]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            responses = operation["responses"]
            # FastAPI adds this wherever there is a parameter: here a bad one is answered 400.
            if MEDIA_TYPE not in responses.get("422", {}).get("content", {MEDIA_TYPE: None}):
                del responses["422"]
            if method in WITH_BODY:
                responses = {**gate_responses(), **responses}
            if path.startswith(VERSIONED):
                operation.setdefault("parameters", []).append(VERSION_PARAMETER)
                responses["400"] = also(responses.get("400"), "UNSUPPORTED_VERSION")
            operation["responses"] = dict(sorted(responses.items()))
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in OF_FASTAPI:
        schemas.pop(name, None)
    template = "#/components/schemas/{model}"
    problem = ProblemDocument.model_json_schema(ref_template=template)
    schemas.update(problem.pop("$defs", {}))
    schemas["ProblemDocument"] = problem
    if "/v1/jobs" in document["paths"]:
        schemas.update(body_parts())
    for view in _read_by_routes(document["paths"]):
        schemas[view.__name__] = view.model_json_schema(ref_template=template)
    return document


def _read_by_routes(paths: Container[str]) -> Iterator[type[BaseModel]]:
    """The models of bodies that routes read and answer themselves."""
    if "/v1/jobs" in paths:
        yield from (LinkView, LinkAnswered)  # their routes answer a person with a page
    if "/v1/documents" in paths:
        yield from (SentDocument, ParserNews)
