"""Proves from the evidence that every invariant holds, or shows the rows where one does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from tests.proof import (
    acceptance,
    attempts,
    fencing,
    gating,
    history,
    leaving,
    leftovers,
    locking,
    queueing,
    results,
    undoing,
    waiting,
)
from tests.proof.evidence import Evidence
from tests.proof.violation import Violation

CHECKS: Final[tuple[Callable[[Evidence], Iterator[Violation]], ...]] = (
    acceptance.check_accepted,
    acceptance.check_ended,
    acceptance.check_keys,
    history.check_one_end,
    history.check_path,
    history.check_clock,
    fencing.check_tokens,
    fencing.check_writers,
    results.check_outputs,
    results.check_started_again,
    results.check_records_made_again,
    results.check_fan_outs,
    results.check_failed_items,
    results.check_results,
    attempts.check_starts,
    attempts.check_tries,
    attempts.check_charges,
    queueing.check_queue,
    queueing.check_rank,
    queueing.check_claims,
    queueing.check_dead_letters,
    leftovers.check_leftovers,
    leaving.check_written,
    leaving.check_sent,
    leaving.check_received,
    locking.check_locks,
    locking.check_guarded,
    gating.check_limits,
    gating.check_slots,
    gating.check_order,
    undoing.check_undone,
    waiting.check_signals,
    waiting.check_sent,
    waiting.check_used,
    waiting.check_waits,
    waiting.check_children,
    waiting.check_slots,
)


def check(evidence: Evidence) -> list[Violation]:
    """All violations, by invariant; empty when the evidence is in order."""
    return [violation for prove in CHECKS for violation in prove(evidence)]
