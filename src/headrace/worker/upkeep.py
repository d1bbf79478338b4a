"""The duties that every worker has besides its own jobs."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from headrace.store.workers import RecoveryRules
from headrace.worker.intake import Salvage
from headrace.worker.janitor import Janitor
from headrace.worker.reaper import Reaper
from headrace.worker.relay import Relay
from headrace.worker.scheduler import Scheduler

if TYPE_CHECKING:
    from headrace.store.session import Session
    from headrace.worker.parts import Parts
    from headrace.worker.service import Service


def upkeep(parts: Parts, worker: int, session: Session) -> list[Service]:
    """The services that look after other workers' jobs and after the tables."""
    timing = parts.timing
    rules = RecoveryRules(
        charges=parts.charges,
        first_wait=timing.suspect_first,
        later_wait=timing.suspect_next,
        head_start=timedelta(seconds=parts.head_start_s),
    )
    janitor = Janitor(
        session,
        worker,
        timing,
        parts.retention,
        delete_artifacts=getattr(parts.artifacts, "delete", None),
        ring=None if parts.broker is None else parts.broker.ring,
    )
    echo = None if parts.broker is None else parts.broker.echo
    services: list[Service] = [
        Reaper(session, worker, timing, rules, echo=echo),
        janitor,
        Scheduler(session, worker, parts),
    ]
    if parts.senders:
        services.append(
            Relay(session, worker, timing, parts.senders, per_endpoint=parts.per_endpoint)
        )
    if parts.intake is not None:
        services.append(Salvage(session, worker, timing, parts.intake))
    return services
