"""Whose turn it is: the tenants with ready jobs take turns, however many jobs each of them has.

A tenant counts as its share, a number that its queue rows bear; the shares form a ring. A claim
goes round it from where the last one ended. Which shares have ready jobs is looked up by
`claims.find_shares` now and then, not at each claim.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

LOOK_S: Final = 0.1
"""A look is out of date after so long: a tenant that was not there then waits no longer."""
WINDOW: Final = 256
"""The most shares of a lane that one look finds; where there are more, the next one goes on."""
MOST: Final = 64
"""The most shares in one claim."""
SHARES: Final = 1 << 15
BEGINNING: Final = -1


class Turn(NamedTuple):
    """What one claim asks for.

    Attributes:
        order: The shares, the first in turn first.
        lanes: Lanes to look into, those of one share beside each other.
        shares: The share of each of these lanes.
        quota: Most jobs of one share.
    """

    order: Sequence[int]
    lanes: Sequence[int]
    shares: Sequence[int]
    quota: int


class Turns:
    """What one claimer knows of the shares with ready jobs, and where in the ring it is."""

    def __init__(self) -> None:
        """Nothing is known; the first turn is anybody's."""
        self._lanes: dict[int, list[int]] = {}
        self._order: list[int] = []
        self._at: int | None = None
        self._is_part = False  # what is known begins behind `_at`, and may not go to the end
        self._usual: int | None = None
        self._is_idle = False
        self._look_at = 0.0

    @property
    def has_found(self) -> bool:
        """Whether shares with ready jobs are known."""
        return bool(self._order)

    @property
    def after(self) -> int:
        """The share behind which the next look begins."""
        return self._at if self._is_part and self._at is not None else BEGINNING

    def can_claim(self, now: float) -> bool:
        """Whether a claim may be made without a look before it."""
        return self._is_idle or (self.has_found and now < self._look_at)

    def forget(self) -> None:
        """Look before the next claim."""
        self._lanes, self._order, self._is_idle = {}, [], False

    def found(self, rows: Sequence[tuple[int, int]], now: float) -> bool:
        """Take up what a look found: pairs of a lane and a share.

        Returns:
            Whether that is enough; else another look is needed, which begins elsewhere.
        """
        began = self.after
        self._look_at = now + LOOK_S
        if began != BEGINNING and not rows:
            self._at, self._is_part = BEGINNING, False  # the ring is closed
            return False
        self._is_part = self._take(rows) or began != BEGINNING
        # A job that comes after a while without any is the last tenant's, as a rule: it is claimed
        # without a look before it.
        self._is_idle = not self._order and self._usual is not None
        if self._at is None and self._order:
            # Workers that begin at the same time, or live for one job, begin anywhere.
            self._at = random.randrange(SHARES) if self._is_part else random.choice(self._order)  # noqa: S311
        return not self._is_part or self._at is None or self._at < self._order[-1]

    def _take(self, rows: Sequence[tuple[int, int]]) -> bool:
        """Keep the shares up to which all lanes were looked through; whether there are more."""
        counts = Counter(lane for lane, _ in rows)
        ends = {lane: share for lane, share in rows if counts[lane] == WINDOW}
        last = min(ends.values(), default=SHARES)
        lanes: defaultdict[int, list[int]] = defaultdict(list)
        for lane, share in rows:
            if share <= last:
                lanes[share].append(lane)
        self._lanes, self._order = dict(lanes), sorted(lanes)
        return bool(ends)

    def turn(self, most: int, carried: Sequence[int]) -> Turn:
        """Whose turn it is; something has to be known.

        Args:
            most: Jobs that are wanted.
            carried: All lanes of the worker.
        """
        order = self._next()
        if len(order) == 1 and not self._is_part:
            return Turn(order, carried, order * len(carried), most)
        pairs = [(lane, share) for share in order for lane in self._lanes[share]]
        lanes, shares = zip(*pairs, strict=True)
        among = min(most, MOST if self._is_part else len(order))
        return Turn(order, lanes, shares, -(-most // among))

    def _next(self) -> list[int]:
        if self._is_idle and self._usual is not None:
            return [self._usual]
        at = bisect_right(self._order, BEGINNING if self._at is None else self._at)
        before = [] if self._is_part else self._order[:at]
        return (self._order[at:] + before)[:MOST]

    def took(self, turn: Turn, taken: Sequence[int], most: int) -> None:
        """Take up what a claim brought.

        Args:
            turn: What it asked for.
            taken: The share of each job that came.
            most: Jobs that were wanted.
        """
        counts = Counter(taken)
        seen = list(turn.order)
        if len(taken) >= most:  # the shares behind the last of these were not looked at
            while seen[-1] not in counts:
                seen.pop()
        self._at = seen[-1]
        if counts:
            self._usual = next(share for share in reversed(seen) if share in counts)
        if len(taken) >= most:
            seen.pop()  # and of the last one there may be more
        empty = {share for share in seen if counts[share] < turn.quota}
        self._order = [
            share
            for share in self._order
            if share not in empty and not (self._is_part and share <= self._at)
        ]
        self._is_idle = False
