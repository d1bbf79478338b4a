"""Writes of the reviews' tables, each in the transaction of the step that does it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self
from uuid import UUID

import orjson

from headrace import StepContext, Transaction
from headrace.pipelines.consensus.statements import SQL

if TYPE_CHECKING:
    from headrace.pipelines.consensus.outcomes import ConsensusResult, Expansion, Reviewed, Versions
    from headrace.pipelines.consensus.schemas import JsonObject


@dataclass(frozen=True, slots=True)
class Place:
    """Whose rows these are."""

    job: UUID
    run: int
    tenant: str
    owner: str

    @classmethod
    def of(cls, ctx: StepContext) -> Self:
        """Those of a step's job."""
        return cls(ctx.job_id, ctx.run, ctx.tenant, ctx.owner)


async def keep_proposal(
    tx: Transaction,
    place: Place,
    expansion: Expansion,
    *,
    depth: int,
    diff: JsonObject | None,
    notes: str | None,
) -> None:
    """Store a proposal; `depth`, `diff` and `notes` are those of a revision."""
    await tx.execute(
        SQL["writes.keep_proposal"],
        place.job,
        place.run,
        place.tenant,
        place.owner,
        None if expansion.parent_job is None else UUID(expansion.parent_job),
        depth,
        expansion.proposal.model_dump_json(),
        None if diff is None else orjson.dumps(diff).decode(),
        notes,
        expansion.versions.schema_version,
        expansion.versions.prompt_set_version,
    )


async def keep_review(
    tx: Transaction, place: Place, reviewed: Reviewed, parameters: JsonObject
) -> None:
    """Store a review, with what it was asked for by."""
    review = reviewed.review
    await tx.execute(
        SQL["writes.keep_review"],
        place.job,
        place.run,
        place.tenant,
        place.owner,
        review.persona_id,
        review.model_dump_json(),
        repr(review.confidence_score),
        bool(review.blocking_issues),
        review.is_security_critical,
        orjson.dumps(parameters).decode(),
        None if reviewed.reused_from is None else UUID(reviewed.reused_from),
        reviewed.versions.schema_version,
        reviewed.versions.prompt_set_version,
    )


async def keep_decision(
    tx: Transaction, place: Place, result: ConsensusResult, versions: Versions, notes: str | None
) -> None:
    """Store a decision."""
    decision = result.decision
    await tx.execute(
        SQL["writes.keep_decision"],
        place.job,
        place.run,
        place.tenant,
        place.owner,
        decision.model_dump_json(),
        decision.decision.value,
        repr(decision.weighted_confidence),
        notes,
        result.version_audit.is_mixed,
        versions.schema_version,
        versions.prompt_set_version,
    )
