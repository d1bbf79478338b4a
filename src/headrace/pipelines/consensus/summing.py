"""What a job's outputs come to: the result, with who answered, what it took, by which versions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from headrace.pipelines.consensus.model import Tokens
from headrace.pipelines.consensus.outcomes import (
    Call,
    ConsensusResult,
    Expansion,
    Reviewed,
    VersionAudit,
    Versions,
)

if TYPE_CHECKING:
    from headrace.pipelines.consensus.schemas import DecisionAggregation, JsonObject


def origin(call: Call) -> JsonObject:
    """What is said with every proposal and review of where it comes from."""
    return {"client": call.client, "model": call.model}


def summed(
    expansion: Expansion, reviewed: Sequence[Reviewed], decision: DecisionAggregation
) -> ConsensusResult:
    """The result of a job."""
    calls = [expansion.call, *(one.call for one in reviewed)]
    origins = [expansion.proposal.metadata, *(one.review.internal_metadata for one in reviewed)]
    reviews = {one.review.persona_id: one.review for one in reviewed}
    return ConsensusResult(
        decision=decision,
        proposal=expansion.proposal,
        reviews=[reviews[who] for who in decision.detailed_score_breakdown.weights],
        answered_by=said("client", origins),
        models=said("model", origins),
        tokens=tokens_of(calls),
        version_audit=audit([expansion.versions, *(one.versions for one in reviewed)]),
        parent_job=expansion.parent_job,
        reused=[one.review.persona_id for one in reviewed if one.reused_from is not None],
    )


def said(what: str, origins: Iterable[JsonObject | None]) -> list[str]:
    """The different clients, or models, that are named."""
    return sorted({str(one[what]) for one in origins if one and what in one})


def tokens_of(calls: Iterable[Call | None]) -> Tokens:
    """What calls took together."""
    made = [call.tokens for call in calls if call is not None]
    return Tokens(
        sum(tokens.input for tokens in made),
        sum(tokens.output for tokens in made),
        sum(tokens.total for tokens in made),
    )


def audit(versions: Sequence[Versions]) -> VersionAudit:
    """The different versions, and whether there are several."""
    schemas = sorted({one.schema_version for one in versions})
    prompts = sorted({one.prompt_set_version for one in versions})
    return VersionAudit(
        schema_versions=schemas,
        prompt_set_versions=prompts,
        is_mixed=len(schemas) > 1 or len(prompts) > 1,
    )
