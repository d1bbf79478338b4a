"""Why a job will fail, and why an item did that others can do without."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headrace.model.step import Step
    from headrace.worker.stored import Fan


@dataclass(slots=True)
class Failure:
    """Why the job will fail, once what runs has ended."""

    cause: str
    code: str
    kind: str
    message: str
    step: str | None = None
    item: str | None = None

    def as_json(self) -> str:
        """The error as it is stored with the job."""
        fields = {
            "code": self.code,
            "class": self.kind,
            "message": self.message,
            "step": self.step,
            "item": self.item or None,
        }
        return json.dumps({name: value for name, value in fields.items() if value is not None})

    def as_item(self) -> str:
        """The error as it is stored with a failed item: an `ItemError`, and the cause."""
        return json.dumps(
            {"code": self.code, "kind": self.kind, "message": self.message, "cause": self.cause}
        )


def too_few(step: Step, fan: Fan, last: Failure | None = None) -> Failure | None:
    """Why a job fails whose items failed, or are too few; None while enough of them can succeed.

    Args:
        step: That of the items.
        fan: The items.
        last: Why the last of them failed; what is stored tells, if left out.
    """
    items = len(fan.values)
    needed = items if step.each is None else step.each.needed(items)
    if items - fan.failed >= needed:
        return None
    last = last or _stored_failure(step, fan)
    message = (
        f"{fan.failed:,} of {items:,} items of step {step.name} failed, and {needed:,} have to "
        f"succeed; the last failure: {last.message}"
    )
    return Failure(last.cause, last.code, last.kind, message, step.name, last.item)


def _stored_failure(step: Step, fan: Fan) -> Failure:
    """That of the last item, in item order, that failed."""
    found = [(item, fan.errors[item]) for item in fan.values if item in fan.errors]
    if not found:  # the code asks for more than it did when they were planned
        return Failure("permanent_error", "ITEMS", "permanent", "none", step.name)
    item, error = found[-1]
    told = json.loads(error)
    return Failure(told["cause"], told["code"], told["kind"], told["message"], step.name, item)
