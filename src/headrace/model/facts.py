"""What is written in `Pipeline(...)`, checked."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from headrace.errors import OutputError
from headrace.model.codec import codec_for
from headrace.model.duration import Duration, to_timedelta
from headrace.model.retry import Retry

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from headrace.errors import DefinitionError
    from headrace.model.context import JsonValue
    from headrace.model.site import Site

MAX_JOB_SECONDS: Final = 7_200
MAX_CONCURRENCY: Final = 10_000
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}")
_VERSION: Final = re.compile(r"(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})")


def checked_name(option: str, name: object, site: Site) -> str:
    """The name of a pipeline, a queue or a preset."""
    if isinstance(name, str) and _NAME.fullmatch(name):
        return str(name)
    raise _refusal(
        f"{option}={name!r}; write letters, digits, `_`, `-` and `.`, at most 100 of them, "
        "beginning with a letter or `_`",
        site,
    )


def version_key(version: object, site: Site) -> tuple[int, int, int]:
    """A version as numbers."""
    match = _VERSION.fullmatch(version) if isinstance(version, str) else None
    if match is None:
        raise _refusal(f"version={version!r}; write MAJOR.MINOR.PATCH, as '1.0.0'", site)
    return int(match[1]), int(match[2]), int(match[3])


def checked_retry(retry: Retry | None, site: Site) -> Retry:
    """The retry of a pipeline; the default one where none is given."""
    if retry is not None and not isinstance(retry, Retry):
        raise _refusal(f"retry={retry!r}; write Retry(attempts=...)", site)
    return retry or Retry()


def checked_timeout(timeout: Duration | None, site: Site) -> timedelta | None:
    """The limit of a job's running time."""
    if timeout is None:
        return None
    try:
        return to_timedelta(timeout, "timeout", least=0.001, most=MAX_JOB_SECONDS)
    except ValueError as error:
        raise _refusal(str(error), site) from None


def checked_presets(
    presets: Mapping[str, Mapping[str, JsonValue]] | None, site: Site
) -> Mapping[str, Mapping[str, JsonValue]]:
    """A copy of the presets that cannot be changed any more."""
    codec = codec_for(dict[str, Any])
    copies = {}
    for name, values in (presets or {}).items():
        checked_name("preset", name, site)
        try:
            copies[name] = MappingProxyType(codec.decode(codec.encode(dict(values))))
        except (OutputError, TypeError, ValueError) as error:
            raise _refusal(f"preset {name!r}: {error}", site) from error
    return MappingProxyType(copies)


def checked_concurrency(option: str, count: object, site: Site) -> Any:  # noqa: ANN401 - as given
    """How many jobs may run at once."""
    if count is None and option == "concurrency":
        return None
    if type(count) is int and 1 <= count <= MAX_CONCURRENCY:
        return count
    raise _refusal(f"{option}={count!r}; write a whole number from 1 to {MAX_CONCURRENCY:,}", site)


def checked_order(ordered_by: object, site: Site) -> Any:  # noqa: ANN401 - as given
    """What jobs are ordered by that name no key."""
    if ordered_by in {None, "owner"}:
        return ordered_by
    raise _refusal(f"ordered_by={ordered_by!r}; write 'owner', or leave it out", site)


def _refusal(problem: str, site: Site) -> DefinitionError:
    return site.error("PIPELINE_OPTION", problem)
