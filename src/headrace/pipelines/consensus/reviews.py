"""Reviews as their owner asks for them: ideas submitted, revised, compared."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from uuid import UUID

from pydantic import ValidationError

from headrace import JobHandle
from headrace.errors import InputError, Problem
from headrace.pipelines.consensus.diff import Compared, JobDiff, compare
from headrace.pipelines.consensus.errors import (
    ParentNotFoundError,
    PromptSetError,
    RevisionRefusedError,
)
from headrace.pipelines.consensus.parents import (
    Parent,
    Reader,
    personas_to_rerun,
    read_parent,
    stored_review,
)
from headrace.pipelines.consensus.pipeline import consensus
from headrace.pipelines.consensus.prompts import prompt_set
from headrace.pipelines.consensus.schemas import (
    DecisionAggregation,
    ExpandedProposal,
    IdeaInput,
    JsonObject,
    Parameters,
)
from headrace.pipelines.consensus.statements import SQL

if TYPE_CHECKING:
    from headrace import Headrace
    from headrace.pipelines.consensus.outcomes import ConsensusResult

    Reading: TypeAlias = Callable[[str, str], AbstractAsyncContextManager[Any]]

DEFAULT: Final = "default"


@dataclass(frozen=True, slots=True)
class Edit:
    """What a revision changes; at least one of the first two.

    Attributes:
        proposal: The proposal as it should be: its fields, of which those left out stay as they
            were, or a text, which stands for the proposed solution.
        notes: What is to be changed, in words.
        idea: In place of the parent's.
        extra_context: In place of the parent's.
        parameters: What they say is laid over the parent's.
        personas: Who reviews again; the rule decides where it is None.
        rerun_threshold: Reviews with less confidence are made again; the setting's where None.
    """

    proposal: JsonObject | str | None = None
    notes: str | None = None
    idea: str | None = None
    extra_context: JsonObject | str | None = None
    parameters: Parameters | None = None
    personas: list[str] | None = None
    rerun_threshold: float | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A revision that can be submitted: `given` to the pipeline `consensus`, for the `parent`."""

    given: IdeaInput
    parent: str
    personas_rerun: list[str]
    personas_reused: list[str]


@dataclass(frozen=True, slots=True)
class Revised:
    """A revision that was submitted."""

    job: JobHandle[ConsensusResult]
    personas_rerun: list[str]
    personas_reused: list[str]


class Reviews:
    """The reviews of all tenants and owners, on the database of an app that carries `consensus`.

    Each call is about one owner of one tenant, and sees nothing of others.
    """

    def __init__(self, app: Headrace, *, reading: Reading | None = None) -> None:
        """Nothing is opened.

        Args:
            app: Runs the jobs, and lends connections; carries the pipeline `consensus`.
            reading: Lends the connection that shows something to an owner of a tenant, perhaps
                one that sees nothing of others; a connection of the app if left out.
        """
        self._app = app
        self._reading = reading or (lambda _tenant, _owner: app.connection())

    async def revise(
        self,
        job: str,
        edit: Edit,
        *,
        tenant: str = DEFAULT,
        owner: str = DEFAULT,
        actor: str | None = None,
        idempotency_key: str | None = None,
    ) -> Revised:
        """Submit a revision of a completed job: a new job, whose parent that is.

        Reviews that are not made again are taken over as they are, and cost nothing. Where none is
        made again, no model is asked at all: the edit is laid over the parent's proposal.

        Args:
            job: The parent.
            edit: What changes.
            tenant: The customer.
            owner: The user.
            actor: Who asks for it, for the history of the job.
            idempotency_key: As for `submit`.

        Raises:
            RevisionRefusedError: There is no edit, an unknown persona, or no review to revise.
            InputError: Something of the edit is too long, or does not fit.
            ParentNotFoundError: There is no such job of this owner.
            ParentNotCompletedError: It did not complete.
            RevisionDepthError: There are as many revisions in a row as may be.
        """
        prepared = await self.prepare(job, edit, tenant=tenant, owner=owner)
        handle = await self._app.submit(
            consensus,
            prepared.given,
            tenant=tenant,
            owner=owner,
            actor=actor,
            parent=prepared.parent,
            idempotency_key=idempotency_key,
        )
        return Revised(handle, prepared.personas_rerun, prepared.personas_reused)

    async def prepare(
        self, job: str, edit: Edit, *, tenant: str = DEFAULT, owner: str = DEFAULT
    ) -> Prepared:
        """What a revision would be; nothing is submitted.

        Raises:
            HeadraceError: As `revise`.
        """
        if edit.proposal is None and not (edit.notes or "").strip():
            raise RevisionRefusedError("a revision needs an edited proposal or notes")
        async with self._reading(tenant, owner) as reader:
            parent = await read_parent(reader, job, tenant, owner)
        given = revised_input(parent, edit)
        assert given.revision is not None  # noqa: S101 - for the type checker
        try:
            prompts = prompt_set(given.parameters.persona_template_version)
        except PromptSetError as error:
            raise RevisionRefusedError(str(error)) from error
        again = personas_to_rerun(parent, given.revision, prompts)
        kept = [persona.id for persona in prompts.personas if persona.id not in again]
        # Named in the input: the job does what was told here, whatever its worker is set to.
        named = given.revision.model_copy(update={"personas": again})
        return Prepared(given.model_copy(update={"revision": named}), parent.job, again, kept)

    async def diff(
        self, job: str, other: str, *, tenant: str = DEFAULT, owner: str = DEFAULT
    ) -> JobDiff:
        """What differs between two jobs: `job` is before, `other` after.

        Raises:
            RevisionRefusedError: Both are the same, or one is no id.
            ParentNotFoundError: One has no proposal, or is not of this owner.
        """
        keys = [_key(job), _key(other)]
        if keys[0] == keys[1]:
            raise RevisionRefusedError("a job does not differ from itself: name another one")
        async with self._reading(tenant, owner) as reader:
            before, after = [await read_compared(reader, key, tenant, owner) for key in keys]
        return compare(before, after)


def revised_input(parent: Parent, edit: Edit) -> IdeaInput:
    """The input of a revision: the parent's, with what the edit says.

    Raises:
        InputError: Something of it is too long, or does not fit.
    """
    given = parent.given
    own = {} if edit.parameters is None else edit.parameters.model_dump(exclude_none=True)
    context = given.extra_context if edit.extra_context is None else edit.extra_context
    try:
        return IdeaInput.model_validate(
            {
                "idea": given.idea if edit.idea is None else edit.idea,
                "extra_context": context,
                "parameters": {**given.parameters.model_dump(), **own},
                "revision": {
                    "parent": parent.job,
                    "edited_proposal": edit.proposal,
                    "edit_notes": edit.notes,
                    "personas": edit.personas,
                    "rerun_threshold": edit.rerun_threshold,
                },
            }
        )
    except ValidationError as error:
        problems = [Problem(_path(one["loc"]), one["msg"]) for one in error.errors()]
        raise InputError(consensus.name, problems) from error


async def read_compared(reader: Reader, key: UUID, tenant: str, owner: str) -> Compared:
    """A job with all that is compared.

    Raises:
        ParentNotFoundError: It has no proposal, or is not of this owner.
    """
    row = await reader.fetchrow(SQL["reads.find_proposal"], key, tenant, owner)
    if row is None or row["proposal"] is None:
        raise ParentNotFoundError(key)
    reviews = await reader.fetch(SQL["reads.find_reviews"], key, tenant, owner)
    decided = await reader.fetchrow(SQL["reads.find_decision"], key, tenant, owner)
    return Compared(
        job=str(key),
        parent_job=None if row["parent_job"] is None else str(row["parent_job"]),
        proposal=ExpandedProposal.model_validate_json(row["proposal"]),
        reviews={one["persona"]: stored_review(one).review for one in reviews},
        reused=[one["persona"] for one in reviews if one["reused_from"] is not None],
        decision=None
        if decided is None
        else DecisionAggregation.model_validate_json(decided["decision"]),
    )


def _key(job: str) -> UUID:
    try:
        return UUID(job)
    except ValueError:
        raise RevisionRefusedError(f"{job[:40]!r} is no id of a job") from None


def _path(location: tuple[int | str, ...]) -> str:
    return "$" + "".join(f".{part}" if isinstance(part, str) else f"[{part}]" for part in location)
