"""What a revision says about a proposal: read, and laid over it."""

from __future__ import annotations

from typing import Final

from headrace.pipelines.consensus.schemas import EditedFields, ExpandedProposal, JsonObject

FIELDS: Final = tuple(EditedFields.model_fields)


def edited_fields(edited: JsonObject | str | None) -> JsonObject:
    """The fields that a revision sets; a text stands for the proposed solution."""
    if edited is None:
        return {}
    if isinstance(edited, str):
        return {"proposed_solution": edited}
    return EditedFields.model_validate(edited).model_dump(exclude_unset=True, exclude_none=True)


def lay_over(proposal: ExpandedProposal, edited: JsonObject | str | None) -> ExpandedProposal:
    """A proposal in which what a revision sets stands as it was written."""
    fields = edited_fields(edited)
    if not fields:
        return proposal
    return ExpandedProposal.model_validate({**proposal.model_dump(), **fields})


def changed_fields(before: ExpandedProposal, after: ExpandedProposal) -> JsonObject:
    """The fields that differ, each before and after, and how many there are."""
    changed: JsonObject = {}
    for name in FIELDS:
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            changed[name] = {"before": old, "after": new}
    return {"changed": changed, "count": len(changed)}
