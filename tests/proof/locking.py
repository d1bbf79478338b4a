"""I10: a lock has one holder at a time, its tokens grow, and what it guards saw no old one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from tests.proof.evidence import Evidence
from tests.proof.guard import GuardedWrite
from tests.proof.violation import Row, Violation


@dataclass(slots=True)
class Holding:
    """The time in which one token held a lock."""

    token: int
    key: str
    at: datetime
    ended_at: datetime | None = None
    ended_by: str | None = None


def check_locks(evidence: Evidence) -> Iterator[Violation]:
    """Grants of a key follow each other, with tokens that grow, and each ends once."""
    holdings: dict[int, Holding] = {}
    for row in evidence.lock_grants:
        if row["change"] == "granted":
            key = f"{row['tenant']}/{row['key']}"
            holdings[row["token"]] = Holding(row["token"], key, row["at"])
    yield from _ends(evidence.lock_grants, holdings)
    by_key: defaultdict[str, list[Holding]] = defaultdict(list)
    for holding in sorted(holdings.values(), key=lambda holding: (holding.at, holding.token)):
        by_key[holding.key].append(holding)
    for held in by_key.values():
        for before, after in pairwise(held):
            yield from _order(before, after)


def check_guarded(evidence: Evidence) -> Iterator[Violation]:
    """What the locks guard took no write under a token lower than one it had seen."""
    if evidence.guarded is None:
        return
    granted = {row["token"] for row in evidence.lock_grants if row["change"] == "granted"}
    highest: defaultdict[str, int] = defaultdict(int)
    for written in evidence.guarded:
        yield from _problem_of(written, highest[written.key], granted)
        highest[written.key] = max(highest[written.key], written.token)


def _ends(rows: Sequence[Row], holdings: dict[int, Holding]) -> Iterator[Violation]:
    for row in rows:
        if row["change"] == "granted":
            continue
        holding = holdings.get(row["token"])
        if holding is None:
            yield Violation("I10", f"token {row['token']} ended, and was never granted")
        elif holding.ended_at is not None:
            ways = f"{holding.ended_by} and {row['change']}"
            yield Violation("I10", f"{holding.key}: token {holding.token} ended twice: {ways}")
        else:
            holding.ended_at, holding.ended_by = row["at"], row["change"]
            if holding.ended_at < holding.at:
                yield Violation("I10", f"{holding.key}: {holding.token} ended before it began")


def _order(before: Holding, after: Holding) -> Iterator[Violation]:
    if after.token <= before.token:
        yield Violation("I10", f"{after.key}: token {after.token} came after {before.token}")
    if before.ended_at is None or before.ended_at > after.at:
        yield Violation(
            "I10",
            f"{after.key}: token {after.token} was granted while {before.token} held it",
            tuple(
                {"token": h.token, "from": h.at, "to": h.ended_at, "by": h.ended_by}
                for h in (before, after)
            ),
        )


def _problem_of(written: GuardedWrite, highest: int, granted: set[int]) -> Iterator[Violation]:
    if written.token not in granted:
        yield Violation("I10", f"{written.key}: token {written.token} was never granted")
    if written.accepted and written.token < highest:
        yield Violation("I10", f"{written.key}: token {written.token} was taken after {highest}")
    if not written.accepted and written.token >= highest:
        yield Violation("I10", f"{written.key}: token {written.token} was refused at {highest}")
