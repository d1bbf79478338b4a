"""I5: no row was written by anyone but the holder of the job at that moment."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from tests.proof.evidence import Evidence, Grant, short
from tests.proof.violation import Row, Violation


def check_tokens(evidence: Evidence) -> Iterator[Violation]:
    """Tokens strictly increase, and whoever ends a claim's time names its token."""
    for job in evidence.jobs:
        grants = evidence.grants_of.get(job["id"], [])
        for before, after in pairwise(grants):
            if after.token <= before.token:
                yield Violation(
                    "I5", f"job {job['id']}: token {after.token} was granted after {before.token}"
                )
        if grants and job["token"] != grants[-1].token:
            yield Violation(
                "I5", f"job {job['id']} carries token {job['token']}, not {grants[-1].token}"
            )
    for job_id, events in evidence.events_of.items():
        token = None
        for event in events:
            if event["to_state"] == "running":
                token = event["token"]
            elif event["from_state"] == "running" and event["token"] != token:
                yield Violation(
                    "I5",
                    f"job {job_id}: event {event['seq']} carries {event['token']}, not {token}",
                    (short(event, "seq", "from_state", "to_state", "reason", "token"),),
                )


def check_writers(evidence: Evidence) -> Iterator[Violation]:
    """Checkpoints, records and tries were written while their token was the job's."""
    for table, rows, column in (
        ("steps", evidence.steps, "finished_at"),
        ("records", evidence.records, "finished_at"),
        ("tries", evidence.tries, "failed_at"),
    ):
        seen: set[tuple[object, ...]] = set()
        for row in rows:
            # What a new run took over keeps the name of its writer, in an earlier run.
            origin = (row["job"], row["step"], row["item"], row.get("name"), row["token"])
            taken_over = origin in seen and row["run"] > 1 and table != "tries"
            seen.add(origin)
            problem = "" if taken_over else _problem_of(evidence, row, column)
            if problem:
                yield Violation(
                    "I5",
                    f"{table}: job {row['job']} {row['step']} {row['item']!r}: {problem}",
                    (
                        short(row, "run", "worker", "token", column),
                        *(
                            {"token": g.token, "worker": g.worker, "from": g.at, "to": g.ended_at}
                            for g in evidence.grants_of.get(row["job"], [])
                        ),
                    ),
                )


def _problem_of(evidence: Evidence, row: Row, column: str) -> str:
    grants = evidence.grants_of.get(row["job"], [])
    grant: Grant | None = next((g for g in grants if g.token == row["token"]), None)
    if grant is None:
        return f"token {row['token']} was never granted"
    if row["run"] != grant.run:
        return f"written in run {row['run']} under a token of run {grant.run}"
    if row["worker"] != grant.worker:
        return f"written by worker {row['worker']}, the token is worker {grant.worker}'s"
    if not grant.covers(row[column], row["written"]):
        return f"written at {row[column]}, outside the time of its token"
    return ""
