"""The job that a revision begins with: read from what is stored, and what of it is taken over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

import orjson

from headrace.pipelines.consensus.errors import (
    ParentNotCompletedError,
    ParentNotFoundError,
    RevisionDepthError,
    RevisionRefusedError,
)
from headrace.pipelines.consensus.outcomes import Versions
from headrace.pipelines.consensus.schemas import (
    Closed,
    ExpandedProposal,
    IdeaInput,
    PersonaReview,
    Revision,
    Text,
    exact,
)
from headrace.pipelines.consensus.settings import consensus_settings
from headrace.pipelines.consensus.statements import SQL

if TYPE_CHECKING:
    from headrace import Row
    from headrace.pipelines.consensus.personas import Persona
    from headrace.pipelines.consensus.prompts import PromptSet


class Reader(Protocol):
    """A connection or a transaction."""

    async def fetch(self, query: str, /, *args: Any) -> Sequence[Row]:
        """The rows of a query."""

    async def fetchrow(self, query: str, /, *args: Any) -> Row | None:
        """The first row of a query, or None."""


class ParentReview(Closed):
    """A stored review, with what made it."""

    review: PersonaReview
    versions: Versions
    parameters: dict[str, Any]


class Parent(Closed):
    """A job that is revised.

    Attributes:
        job: Its id.
        depth: 0 for an idea, 1 for a revision of it.
        given: What it was given.
        proposal: What was reviewed.
        reviews: By persona.
    """

    job: Text
    depth: int
    given: IdeaInput
    proposal: ExpandedProposal
    reviews: dict[str, ParentReview]


async def read_parent(reader: Reader, job: str, tenant: str, owner: str) -> Parent:
    """The job that a revision names, if it can be revised.

    Raises:
        ParentNotFoundError: There is none of this owner.
        ParentNotCompletedError: It did not complete.
        RevisionRefusedError: It has no proposal, or no reviews.
        RevisionDepthError: There are as many revisions in a row as may be.
    """
    try:
        key = UUID(job)
    except ValueError:
        raise RevisionRefusedError(f"{job[:40]!r} is no id of a job") from None
    row = await reader.fetchrow(SQL["reads.find_proposal"], key, tenant, owner)
    if row is None:
        raise ParentNotFoundError(job)
    if row["state"] != "completed":
        raise ParentNotCompletedError(job, row["state"])
    found = await reader.fetch(SQL["reads.find_reviews"], key, tenant, owner)
    if row["proposal"] is None or not found:
        raise RevisionRefusedError(f"job {job} has no proposal with reviews: it cannot be revised")
    most = consensus_settings().revision_depth
    if row["depth"] >= most:
        raise RevisionDepthError(job, most)
    return Parent(
        job=str(key),
        depth=row["depth"],
        given=IdeaInput.model_validate_json(row["input"]),
        proposal=ExpandedProposal.model_validate_json(row["proposal"]),
        reviews={one["persona"]: stored_review(one) for one in found},
    )


def stored_review(row: Row) -> ParentReview:
    """A review from its row."""
    return ParentReview.model_validate(
        {
            "review": PersonaReview.model_validate_json(row["review"]),
            "versions": Versions(
                schema_version=row["schema_version"], prompt_set_version=row["prompt_set_version"]
            ),
            "parameters": orjson.loads(row["prompt_parameters"]),
        }
    )


def personas_to_rerun(parent: Parent, revision: Revision, prompts: PromptSet) -> list[str]:
    """The ids of the personas that review again, in their order.

    Those that the revision names; without names those whose review has too little confidence or a
    blocking issue, and those that have none.

    Raises:
        RevisionRefusedError: A persona is named that there is not.
    """
    known = [persona.id for persona in prompts.personas]
    named = revision.personas
    unknown = sorted(set(named or ()) - set(known))
    if unknown:
        raise RevisionRefusedError(
            f"there is no persona {', '.join(name[:40] for name in unknown)}; "
            f"there are {', '.join(known)}"
        )
    threshold = revision.rerun_threshold
    least = consensus_settings().rerun_threshold if threshold is None else threshold

    def is_again(persona: Persona) -> bool:
        stored = parent.reviews.get(persona.id)
        if stored is None:
            return True
        if named is not None:
            return persona.id in named
        return is_open(stored.review, least, has_veto=persona.has_veto)

    return [persona.id for persona in prompts.personas if is_again(persona)]


def is_open(review: PersonaReview, least: float, *, has_veto: bool) -> bool:
    """Whether a review asks for another one after the proposal was changed."""
    return (
        exact(review.confidence_score) < exact(least)
        or bool(review.blocking_issues)
        or (has_veto and review.is_security_critical)
    )
