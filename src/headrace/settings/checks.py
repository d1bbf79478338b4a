"""What single settings allow, but together contradict each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.errors import Problem
from headrace.settings.issuers import is_safe_address
from headrace.settings.names import ADDRESS_PARTS, variable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.settings.model import Settings


def contradictions(settings: Settings) -> Iterator[Problem]:
    """Yield what is wrong, with the setting that should change and what to do."""
    parts = sorted(ADDRESS_PARTS & settings.model_fields_set)
    if settings.database_url is not None and parts:
        names = ", ".join(map(variable, parts))
        yield _problem(
            "database_url", f"{names} would have no effect beside it; unset one or other"
        )
    if settings.embedded and settings.direct_database_url is not None:
        yield _problem("direct_database_url", "needs HEADRACE_DATABASE_URL as well; set it")
    if settings.embedded and settings.env == "production":
        yield _problem(
            "env",
            "production does not run on the embedded database; set HEADRACE_DATABASE_URL to "
            "postgresql://user:password@host:port/name",
        )
    yield from _in_production(settings)
    yield from _without_project(settings)
    if (settings.tasks_service_account is None) != (settings.tasks_audience is None):
        yield _problem(
            "tasks_audience", "it and HEADRACE_TASKS_SERVICE_ACCOUNT need each other; set both"
        )
    if (settings.push_service_account is None) != (settings.push_audience is None):
        yield _problem(
            "push_audience", "it and HEADRACE_PUSH_SERVICE_ACCOUNT need each other; set both"
        )
    if settings.push_keys_url is None and not is_safe_address(settings.push_issuer):
        yield _problem("push_issuer", "its keys cannot be had safely; give an https address")
    if not is_safe_address(settings.tasks_issuer):
        yield _problem("tasks_issuer", "its keys cannot be had safely; give an https address")
    if settings.lease_s < 3 * settings.heartbeat_s:
        yield _problem(
            "heartbeat_s",
            f"{settings.heartbeat_s:g} is more than a third of HEADRACE_LEASE_S "
            f"({settings.lease_s:g}); lower it or raise the lease",
        )


def _in_production(settings: Settings) -> Iterator[Problem]:
    if settings.env != "production":
        return
    if settings.webhook_private_hosts:
        yield _problem(
            "webhook_private_hosts",
            "in production webhooks reach public hosts only; unset it",
        )
    if settings.public_url is not None and not settings.public_url.startswith("https:"):
        yield _problem("public_url", "in production people are sent to an https address; give one")


def _without_project(settings: Settings) -> Iterator[Problem]:
    for name, chosen in (("doorbell", "pubsub"), ("inbox", "own")):
        if getattr(settings, name) == chosen and not (
            settings.pubsub_project or settings.pubsub_emulator_host
        ):
            yield _problem(
                "pubsub_project",
                f"HEADRACE_{name.upper()}={chosen} needs a project; set it, or "
                "PUBSUB_EMULATOR_HOST to the host:port of an emulator",
            )


def _problem(field: str, message: str) -> Problem:
    return Problem(variable(field), message)
