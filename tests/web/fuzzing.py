"""Requests that nobody thought of: schemathesis makes them from the OpenAPI document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.config import SchemathesisConfig

CHECKED: Final = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
"""No answer from 500 on, and none that the document does not tell."""
QUIET: Final = (HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large)
LIMIT_S: Final = 70.0
"""Routes for schedulers may take a minute."""
ORDER: Final = {"get": 0, "delete": 2}
MADE_UP: Final = 3
"""Of four requests, the last keeps what was made up."""


@dataclass(frozen=True)
class Target:
    """Which API, and what is in it."""

    url: str
    credential: str
    known: Mapping[str, Sequence[Mapping[str, Any]]]
    """What exists, by the name of a parameter of a path or member of a body, each with what goes
    with it: made-up ids find nothing, so most requests take one of these."""


@dataclass
class Tried:
    """What came of one operation."""

    operation: str
    statuses: Counter[int] = field(default_factory=Counter)
    finding: str | None = None
    """The first request that was answered wrongly, with the answer."""


def fuzz(
    document: dict[str, Any], target: Target, *, cases: int, number: int, tag: str | None = None
) -> Iterator[Tried]:
    """Ask each operation so many things, and tell what came of it. Blocks: use a thread.

    Args:
        document: The OpenAPI document.
        target: Who answers.
        cases: For each operation: half of them fit the document, the others do not.
        number: The same number makes the same requests.
        tag: Only the operations of this group.
    """
    load_all_checks()
    config = SchemathesisConfig()
    config.projects.default.generation.update(with_security_parameters=False)
    schema = schemathesis.openapi.from_dict(document, config=config)
    found = [result.ok() for result in schema.get_all_operations()]
    # What looks comes first, what removes last: or the others find nothing.
    found.sort(key=lambda operation: ORDER.get(operation.method, 1))
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {target.credential}"
        for operation in found:
            if tag is None or tag in (operation.tags or ()):
                yield _try(operation, target, session, cases=cases, number=number)


def _try(
    operation: Any,  # noqa: ANN401 - generic in the framework
    target: Target,
    session: requests.Session,
    *,
    cases: int,
    number: int,
) -> Tried:
    tried = Tried(f"{operation.method.upper()} {operation.path}")
    checks = CHECKS.get_by_names(CHECKED)
    modes = [operation.as_strategy(generation_mode=mode) for mode in _modes(operation)]
    if len(modes) == 1:  # there is nothing to make up
        cases = min(cases, 2)

    @seed(number)
    @settings(
        max_examples=cases,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=QUIET,
        verbosity=Verbosity.quiet,
    )
    @given(st.data())
    def ask(data: st.DataObject) -> None:
        case = data.draw(st.one_of(modes))
        _place(case, data, target)
        response = case.call(base_url=target.url, session=session, timeout=LIMIT_S)
        tried.statuses[response.status_code] += 1
        case.validate_response(response, checks=checks)

    try:
        ask()
    except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 - whatever it is, it is told
        tried.finding = f"{type(error).__name__}: {error}"
    return tried


def _modes(operation: Any) -> list[GenerationMode]:  # noqa: ANN401
    """What can be made for it: where nothing is asked for, nothing can be wrong."""
    has_input = any(True for _ in operation.iter_parameters()) or bool(operation.body)
    return [GenerationMode.POSITIVE, *([GenerationMode.NEGATIVE] if has_input else [])]


def _place(case: Case, data: st.DataObject, target: Target) -> None:
    """Put things that exist into most requests."""
    for container in (case.path_parameters, case.body):
        if not isinstance(container, dict):
            continue
        names = sorted(target.known.keys() & container.keys())
        # 0 is what a run begins with: the first request of each operation finds something.
        if names and data.draw(st.integers(0, 3)) < MADE_UP:
            values = data.draw(st.sampled_from(target.known[names[0]]))
            container.update({key: values[key] for key in values.keys() & container.keys()})
