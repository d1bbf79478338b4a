"""Reviewed ideas at a remote API: revised, and compared."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headrace.remote.encoding import checked_key, job_id
from headrace.remote.problems import Subject
from headrace.remote.transport import JSON, Call, new_key

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from headrace.remote.transport import Transport


@dataclass(frozen=True, slots=True)
class RemoteRevision:
    """A revision that was stored.

    Attributes:
        job_id: The new job; `RemoteClient.job` follows it.
        parent_job_id: The job that it revises.
        personas_rerun: Who reviews again.
        personas_reused: Whose reviews of the parent are taken over.
    """

    job_id: str
    parent_job_id: str
    personas_rerun: list[str]
    personas_reused: list[str]


class RemoteReviews:
    """The reviewed ideas of the caller: `RemoteClient.reviews`.

    They are submitted as any job: `client.submit("consensus", {"idea": ...})`. A server without the
    pipeline `consensus` answers all of this with `NotFoundError`.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def revise(
        self,
        job: str | UUID,
        *,
        edited_proposal: dict[str, Any] | str | None = None,
        edit_notes: str | None = None,
        personas: Sequence[str] | None = None,
        rerun_threshold: float | None = None,
        idempotency_key: str | None = None,
    ) -> RemoteRevision:
        """Submit a revision of a completed job: a new job, whose parent that is.

        Args:
            job: The parent.
            edited_proposal: The proposal as it should be: its fields, of which those left out stay
                as they were, or a text, which stands for the proposed solution.
            edit_notes: What is to be changed, in words.
            personas: Who reviews again; the rule decides if left out, none where it is empty.
            rerun_threshold: Reviews with less confidence are made again.
            idempotency_key: With the same key and the same edit, the same job comes back.

        Raises:
            InvalidError: There is no edit, something does not fit, or an unknown persona is named.
            JobNotFoundError: There is no such job of the caller.
            ConflictError: It did not complete, or is the last revision that may be.
            UnavailableError: The server is away; the call can be repeated.
        """
        given = {
            "edited_proposal": edited_proposal,
            "edit_notes": edit_notes,
            "personas": None if personas is None else list(personas),
            "rerun_threshold": rerun_threshold,
        }
        body = {name: value for name, value in given.items() if value is not None}
        key = new_key() if idempotency_key is None else checked_key(idempotency_key)
        parent = job_id(job)
        call = Call(
            method="POST",
            path=f"/v1/jobs/{parent}/revisions",
            headers={"Content-Type": JSON, "Idempotency-Key": key},
            content=json.dumps(body).encode(),
            subject=Subject(job=parent, key=idempotency_key),
        )
        return (await self._transport.call(call)).value(RemoteRevision)

    async def diff(self, job: str | UUID, other: str | UUID) -> dict[str, Any]:
        """What differs between two jobs, as JSON: `job` is before, `other` after.

        Raises:
            InvalidError: Both are the same.
            JobNotFoundError: One has no proposal, or is not the caller's.
        """
        before, after = job_id(job), job_id(other)
        call = Call(
            method="GET", path=f"/v1/jobs/{before}/diff/{after}", subject=Subject(job=after)
        )
        answer = await self._transport.call(call)
        found: dict[str, Any] = answer.json()
        return found
