"""The reference page of the HTTP API, from its OpenAPI document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from headrace import Headrace
from headrace.pipelines.consensus import consensus
from headrace.pipelines.documents import documents
from headrace.settings import Settings
from headrace.web.app import create_api
from headrace.web.gate.envelope import SCHEMA_VERSION, VERSION_HEADER
from headrace.web.problems import ALWAYS, CODES, READING, WRITING
from scripts.reference_table import NOTE, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Operation = dict[str, Any]
LEAST_PROBLEM: Final = 400
SHARED_HEADERS: Final = frozenset({"Idempotency-Key", VERSION_HEADER})


def listed(codes: Iterable[str]) -> str:
    """Codes, one after the other."""
    return ", ".join(f"`{code}`" for code in sorted(codes))


INTRO: Final = """\
Every path of `headrace api`, written from the OpenAPI document that it serves at `/openapi.json`,
which has the schemas and examples too. `/v1/documents` is there where the app carries the pipeline
`documents`, `/v1/admin` where `HEADRACE_ADMIN_API` is on; a worker's own port has the paths under
*service*. [Authenticate callers](../how-to/authenticate-callers.md) tells what scopes are, and
[Limit callers](../how-to/limit-callers.md) what a request may be.
"""
PROBLEMS: Final = """\
An answer of 400 or more is an `application/problem+json` document (RFC 9457) with `type`, `title`,
`status`, `detail`, `instance`, `code`, `request_id`, and where something in the request is wrong
`errors`: a list of `path` and `message`. `code` is stable, the other texts are for people. How to
react to them: [Handle errors](../how-to/handle-http-errors.md).
"""
EVERYWHERE: Final = frozenset(ALWAYS)
CALLERS: Final = frozenset((*READING, *EVERYWHERE))
BODIES: Final = frozenset((*WRITING, *EVERYWHERE))
SHARED: Final = f"""\
Every path may answer {listed(EVERYWHERE)}; one that takes a token also
{listed(CALLERS - EVERYWHERE)}; one that takes a body also
{listed(BODIES - CALLERS)}.
Below stand only the others. A POST takes the header `Idempotency-Key`: the same request with the
same key has one effect, and gets the first answer again. Every request takes `X-Request-ID` and
`traceparent`; under `/v1` also `{VERSION_HEADER}`, the version of bodies that the client was
written for: `{SCHEMA_VERSION}`, else the answer is `UNSUPPORTED_VERSION`. Every answer
names that of the service.
"""


def http_page() -> str:
    """The page of all routes and problem codes."""
    settings = Settings.model_validate({"admin_api": True})
    document = create_api(Headrace([documents, consensus], settings=settings)).openapi()
    groups: dict[str, list[tuple[str, str, Operation]]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            groups.setdefault(operation["tags"][0], []).append((method.upper(), path, operation))
    lines = ["# The HTTP API", "", NOTE, "", INTRO, SHARED]
    for tag, operations in groups.items():
        lines += [f"## {tag.capitalize()}", ""]
        for method, path, operation in operations:
            lines += operation_lines(method, path, operation, document)
    codes = ((f"`{name}`", str(code.status), code.title) for name, code in CODES.items())
    lines += ["## Problem codes", "", PROBLEMS, *table(("code", "status", "means"), codes), ""]
    return "\n".join(lines)


def operation_lines(
    method: str, path: str, operation: Operation, document: Operation
) -> Iterator[str]:
    """What one operation takes and answers."""
    yield from (f"### `{method} {path}`", "", " ".join(operation["description"].split()), "")
    rows = [parameter_row(one) for one in operation.get("parameters", ()) if is_own(one)]
    rows += body_rows(operation, document)
    if rows:
        yield from (*table(("takes", "in", "meaning"), rows), "")
    answers = operation["responses"]
    good = ", ".join(status for status in answers if int(status) < LEAST_PROBLEM)
    yield f"- Scope: {scopes_of(operation)}. Answers {good}."
    codes = {code for answer in answers.values() for code in problem_codes(answer)}
    usual = BODIES if "requestBody" in operation else CALLERS
    if own := codes - usual - {"UNSUPPORTED_VERSION"}:
        yield f"- Problems: {listed(own)}."
    yield ""


def is_own(parameter: Operation) -> bool:
    """Whether a parameter is neither in the path, where it is seen, nor one of many paths."""
    return parameter["in"] != "path" and parameter["name"] not in SHARED_HEADERS


def body_rows(operation: Operation, document: Operation) -> Iterator[tuple[str, str, str]]:
    """The fields of the body."""
    contents = operation.get("requestBody", {}).get("content", {})
    as_json = "body" if len(contents) == 1 else "JSON instead"
    for kind, content in contents.items():
        schema = resolved(content["schema"], document)
        required = schema.get("required", ())
        for name, field in schema.get("properties", {}).items():
            place = "form" if kind.startswith("multipart") else as_json
            where = f"{place}, required" if name in required else place
            yield parameter_row({"name": name, "in": where, "schema": field})


def resolved(schema: Operation, document: Operation) -> Operation:
    """The schema that a reference stands for; of a choice with null, the other one."""
    for choice in schema.get("anyOf", ()):
        if choice.get("type") != "null":
            return resolved(choice, document)
    name = schema.get("$ref")
    if name is None:
        return schema
    named: Operation = document["components"]["schemas"][name.rpartition("/")[2]]
    return named


def parameter_row(parameter: Operation) -> tuple[str, str, str]:
    """A parameter: name, place, meaning with its bounds."""
    schema = parameter["schema"]
    kinds = schema.get("anyOf", [schema])
    bounds = next((text for kind in kinds if (text := bounds_of(kind))), "")
    default = schema.get("default")
    if isinstance(default, list):
        default = ", ".join(map(str, default))
    shown = "" if default is None or default == "" else f" Default: {default}."
    text = (parameter.get("description") or schema.get("description") or "").strip()
    told = " ".join(part for part in (text, f"{bounds}." if bounds else "") if part)
    return f"`{parameter['name']}`", parameter["in"], f"{told}{shown}"


def bounds_of(schema: Operation) -> str:
    """The values that a parameter takes, in words."""
    if "enum" in schema:
        return f"One of {', '.join(f'`{value}`' for value in schema['enum'])}"
    if "minimum" in schema and "maximum" in schema:
        return f"{schema['minimum']:,} to {schema['maximum']:,}"
    if "maxLength" in schema:
        return f"At most {schema['maxLength']:,} characters"
    return ""


def scopes_of(operation: Operation) -> str:
    """The scopes that an operation asks for."""
    named = [scope for one in operation.get("security", ()) for scope in one.get("bearer", ())]
    return ", ".join(f"`{scope}`" for scope in named) or "none"


def problem_codes(answer: Operation) -> list[str]:
    """The problem codes that an answer may have."""
    problem = answer.get("content", {}).get("application/problem+json", {})
    return list(problem.get("examples", ()))
