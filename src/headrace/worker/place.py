"""Where an attempt is, for the shared primitives that it uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from headrace.errors import DefinitionError
from headrace.reliability.surroundings import Surroundings

if TYPE_CHECKING:
    from headrace.worker.attempt import Attempt
    from headrace.worker.engine import Engine


class AttemptPlace:
    """An attempt in this worker."""

    __slots__ = ("_attempt", "_engine")

    def __init__(self, attempt: Attempt, engine: Engine) -> None:
        self._attempt, self._engine = attempt, engine

    def surroundings(self) -> Surroundings:
        """What is around the attempt."""
        attempt, engine = self._attempt, self._engine
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
