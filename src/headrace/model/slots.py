"""What is to be done about a schedule's slots that are due: pure, so that it can be tried out."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from headrace.model.cron import Cron

Missed: TypeAlias = Literal["skip", "once", "all"]
"""What becomes of slots that were missed: none of them, the latest, or each has its job."""
POLICIES: Final[tuple[Missed, ...]] = get_args(Missed)
COUNTED: Final = 10_000
"""Missed slots that are counted; those beyond are not, for there may be a million."""


@dataclass(frozen=True, slots=True)
class Move:
    """The next thing to do about a schedule.

    Attributes:
        slot: The slot that gets its job; None where slots are only passed over.
        missed: Slots that get none, up to `COUNTED`.
        next: The slot that is next then.
    """

    slot: datetime | None
    missed: int
    next: datetime


def next_move(
    cron: Cron, missed: Missed, due: datetime, now: datetime, grace: timedelta
) -> Move | None:
    """What to do about the slot that is next; None while it is ahead.

    A slot is missed when it is older than the grace. Until then each slot has its job, in order.

    Args:
        cron: Gives the slots.
        missed: The policy.
        due: The slot that is next.
        now: The engine's time.
        grace: How late a slot may be.
    """
    if due > now:
        return None
    limit = now - grace
    if due >= limit or missed == "all":
        return Move(due, 0, cron.after(due))
    last = cron.latest(due, limit) or due
    more = islice(cron.walk(due), COUNTED - 1)
    count = 1 + sum(1 for _ in takewhile(lambda slot: slot <= last, more))
    following = cron.after(last)
    # A slot that is not missed, and due, stands for those that were.
    if missed == "skip" or following <= now:
        return Move(None, count, following)
    return Move(last, count - 1, following)
