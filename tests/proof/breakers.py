"""I24: while a breaker is open, what it guards sees at most the calls that are tried."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from tests.proof.violation import Row, Violation

ALLOWED: Final = frozenset(
    {("closed", "open"), ("open", "half_open"), ("half_open", "open"), ("half_open", "closed")}
)
"""Ways of a breaker, but for those of operators."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call, as what was called has noted it.

    Attributes:
        let_from: The earliest moment at which it may have been let through: before `let_at` where
            its process was frozen in between.
        let_at: When its process was past the breaker.
        ended_at: When its end was known there, or its process died; None for never.
        failed: Whether it failed.
    """

    process: int
    let_from: datetime
    let_at: datetime
    ended_at: datetime | None
    failed: bool


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is promised.

    Attributes:
        overshoot: How long after its opening a breaker may still let calls through.
        open_for: How long it is open at least.
        failures: Failures that open it.
        within: The time in which they happen.
        successes: Calls that went well and close it.
        probe_timeout: How long a call that is tried keeps others out.
    """

    overshoot: timedelta
    open_for: timedelta
    failures: int
    within: timedelta
    successes: int
    probe_timeout: timedelta


def check_breaker(
    changes: Sequence[Row], calls: Sequence[Call], bounds: Bounds
) -> Iterator[Violation]:
    """All violations of one breaker.

    Args:
        changes: Its rows of `breaker_changes`, in their order.
        calls: Everything that was called, in any order.
        bounds: What is promised.
    """
    yield from _check_way(changes, bounds)
    yield from _check_openings(changes, calls, bounds)
    for change, following in pairwise([*changes, None]):
        if change is None:
            continue
        until = None if following is None else following["at"]
        let = [call for call in calls if _is_let(call, change["at"], until)]
        if change["to_state"] == "open":
            yield from _check_open(change, let, until, bounds)
        elif change["to_state"] == "half_open" and following is not None:
            yield from _check_half_open(following, let, bounds)


def _is_let(call: Call, since: datetime, until: datetime | None) -> bool:
    """Whether it was let through in this time and in no other."""
    return call.let_from >= since and (until is None or call.let_at < until)


def _check_way(changes: Sequence[Row], bounds: Bounds) -> Iterator[Violation]:
    state, at = "closed", None
    for change in changes:
        way = (change["from_state"], change["to_state"])
        if way[0] != state or (change["actor"] is None and way not in ALLOWED):
            yield Violation(
                "I24", f"it went from {way[0]} to {way[1]} when it was {state}", (change,)
            )
        if at is not None and change["at"] < at:
            yield Violation("I24", "a change lies before the one before it", (change,))
        is_early = at is not None and change["at"] - at < bounds.open_for
        if way == ("open", "half_open") and is_early:
            yield Violation("I24", "a call was tried before its time", (change,))
        if way == ("half_open", "closed") and change["probes"] < bounds.successes:
            yield Violation("I24", f"it closed after {change['probes']} calls", (change,))
        state, at = way[1], change["at"]


def _check_openings(
    changes: Sequence[Row], calls: Sequence[Call], bounds: Bounds
) -> Iterator[Violation]:
    for change in changes:
        if change["from_state"] != "closed" or change["actor"] is not None:
            continue
        since = change["at"] - bounds.within - bounds.overshoot
        failed = [
            call
            for call in calls
            if call.failed and call.ended_at is not None and since <= call.ended_at <= change["at"]
        ]
        if len(failed) < bounds.failures:
            yield Violation("I24", f"it opened after {len(failed)} failures", (change,))


def _check_open(
    change: Row, let: Sequence[Call], until: datetime | None, bounds: Bounds
) -> Iterator[Violation]:
    since = change["at"] + bounds.overshoot
    late = [call for call in let if _is_let(call, since, until)]
    if late:
        yield Violation(
            "I24",
            f"{len(late)} calls were let through while it was open",
            (change, *(_shown(call) for call in late[:5])),
        )


def _check_half_open(end: Row, let: Sequence[Call], bounds: Bounds) -> Iterator[Violation]:
    if len(let) > end["probes"]:
        yield Violation(
            "I24",
            f"{len(let)} calls were let through while it was half open, {end['probes']} were tried",
            (end, *(_shown(call) for call in let[:5])),
        )
    tried = sorted(let, key=lambda call: call.let_at)
    for first, second in pairwise(tried):
        over_at = first.let_from + bounds.probe_timeout
        if first.ended_at is not None:
            over_at = min(over_at, first.ended_at)
        if second.let_at < over_at:
            yield Violation(
                "I24", "two calls were tried at a time", (end, _shown(first), _shown(second))
            )


def _shown(call: Call) -> Row:
    return {
        "process": call.process,
        "let_at": call.let_at,
        "ended_at": call.ended_at,
        "failed": call.failed,
    }
