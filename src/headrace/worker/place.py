"""Where an attempt is, for the shared primitives that it uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn, Protocol, cast

from headrace.errors import DefinitionError
from headrace.reliability.surroundings import Surroundings

if TYPE_CHECKING:
    from headrace.worker.attempt import Attempt
    from headrace.worker.engine import Engine


class HasEngine(Protocol):
    """What runs attempts: an executor."""

    engine: Engine


def surroundings_of(attempt: Attempt) -> Surroundings:
    """What is around an attempt in this worker."""
    engine = cast("HasEngine", attempt.run.writer).engine
    claim = attempt.run.claim
    return Surroundings(
        pool=engine.pool,
        loop=engine.loop,
        hub=engine.hub,
        tenant=claim.tenant,
        owner=claim.owner,
        worker=engine.worker,
        job=claim.job,
        run=claim.run,
        token=claim.token,
        step=attempt.step.name,
        item=attempt.item,
        attempt=attempt.number,
        remaining=attempt.remaining,
        annotate=attempt.annotate,
        breaker_rules=engine.limits.breakers,
    )


class ProcessPlace:
    """A step's own process, which reaches no database."""

    def surroundings(self) -> NoReturn:
        """Nothing can be reached from here.

        Raises:
            DefinitionError: Always.
        """
        raise DefinitionError(
            "a step with runs_in='process'",
            "locks, breakers, limits and budgets need the database, which its process does not "
            "reach: use them in an async step before it",
            "NOT_IN_PROCESS",
        )
