"""Lines for a shell that try the API: what `headrace dev` prints."""

from __future__ import annotations

import json
import shlex
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from headrace.errors import CodecError

if TYPE_CHECKING:
    from headrace.app import Headrace
    from headrace.model.pipeline import Pipeline

DOCUMENTS: Final = "documents"
CONSENSUS: Final = "consensus"
IDEA: Final = "A tool library for our street."
CURL: Final = "curl -sS -w '\\n' -H \"$AUTH\""
JSON: Final = "-H 'Content-Type: application/json'"
TAKE_ID: Final = r"""sed 's/.*"job_id":"\([^"]*\)".*/\1/'"""
DEEPEST: Final = 8
OF_TYPE: Final[dict[str, Any]] = {
    "string": "text",
    "integer": 1,
    "number": 1.0,
    "boolean": True,
    "array": [],
}


def lines_to_try(app: Headrace, address: str, token: str) -> str:
    """What to type to submit a job, follow it, and the rest.

    Args:
        app: Whose pipelines.
        address: Of the API.
        token: Opens it.
    """
    auth = shlex.quote(f"Authorization: Bearer {token}")
    parts = [
        f"headrace: the API is at {address}, its documentation at {address}/docs",
        f"\nexport API={address} AUTH={auth}",
    ]
    if DOCUMENTS in app.pipelines:
        documents = app.pipelines[DOCUMENTS]
        parts += [_document_lines(), _cancel_lines(documents), _lost_document_lines(documents)]
        parts += [_review_lines()] if CONSENSUS in app.pipelines else []
    elif CONSENSUS in app.pipelines:
        parts += [_review_lines(), _dead_letter_lines()]
    elif pipeline := next(iter(app.pipelines.values()), None):
        parts += [_job_lines(pipeline), _cancel_lines(pipeline), _dead_letter_lines()]
    return "\n".join(parts) + "\n"


def _document_lines() -> str:
    question = _body({"query": "Where do herons nest?"})
    return f"""
{_title("a document, its events as they happen, its result, and a search")}
JOB=$(echo "Herons nest beside the mill race. $(date)" \\
  | {CURL} -F 'file=@-;filename=herons.md' $API/v1/documents | {TAKE_ID})
{CURL} -N $API/v1/jobs/$JOB/events
{CURL} $API/v1/jobs/$JOB/result
{CURL} {question} $API/v1/documents/search"""


def _review_lines() -> str:
    return f"""
{_title("an idea, its reviews as they come, and the decision")}
IDEA=$({CURL} {_body({"idea": IDEA})} $API/v1/consensus/reviews | {TAKE_ID})
{CURL} -N $API/v1/jobs/$IDEA/events
{CURL} $API/v1/jobs/$IDEA/result"""


def _job_lines(pipeline: Pipeline[Any, Any]) -> str:
    return f"""
{_title(f"a job of {pipeline.name}, and its events as they happen")}
{_submission(pipeline)}
{CURL} -N $API/v1/jobs/$JOB/events
{CURL} $API/v1/jobs/$JOB"""


def _cancel_lines(pipeline: Pipeline[Any, Any]) -> str:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"""
{_title("a job for tomorrow, and its cancellation")}
{_submission(pipeline, name="LATER", due_at=tomorrow)}
{CURL} -X POST $API/v1/jobs/$LATER/cancel"""


def _lost_document_lines(documents: Pipeline[Any, Any]) -> str:
    return f"""
{_title("a job whose document is missing: it fails, is a dead letter, and is run again")}
{_submission(documents)}
{CURL} -N $API/v1/jobs/$JOB/events
{_again_lines()}"""


def _dead_letter_lines() -> str:
    return f"""
{_title("jobs that have failed for good: if the first one has, it is run again, else refused")}
{_again_lines()}"""


def _again_lines() -> str:
    again = _body({"reason": "once more"})
    return f"""{CURL} $API/v1/dead-letters
{CURL} {again} $API/v1/jobs/$JOB/retry"""


def _submission(pipeline: Pipeline[Any, Any], name: str = "JOB", **fields: str) -> str:
    job = {"pipeline": pipeline.name, "payload": example_of(pipeline), **fields}
    return f"{name}=$({CURL} {_body(job)} $API/v1/jobs | {TAKE_ID})"


def _title(text: str) -> str:
    """Said aloud, since zsh takes `#` for a command when it is pasted."""
    return f"echo {shlex.quote(f'-- {text}')}"


def _body(value: object) -> str:
    return f"{JSON} -d {shlex.quote(json.dumps(value))}"


def example_of(pipeline: Pipeline[Any, Any]) -> Any:  # noqa: ANN401 - any JSON value
    """An input that a pipeline accepts, made of its schema; text that says so where none is."""
    schema = pipeline.input.schema()
    value = _example(schema, schema.get("$defs", {}), 0)
    try:
        pipeline.input.decode(json.dumps(value))
    except CodecError:
        return "WRITE AN INPUT HERE"
    return value


def _example(schema: dict[str, Any], parts: dict[str, Any], depth: int) -> Any:  # noqa: ANN401
    schema = parts.get(str(schema.get("$ref", "")).rpartition("/")[2], schema)
    for key in ("examples", "enum", "anyOf", "oneOf"):
        if schema.get(key):
            first = schema[key][0]
            return first if key in {"examples", "enum"} else _example(first, parts, depth + 1)
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if schema.get("type") != "object" or depth > DEEPEST:
        return OF_TYPE.get(str(schema.get("type")))
    return {
        name: _example(schema["properties"][name], parts, depth + 1)
        for name in schema.get("required", ())
    }
