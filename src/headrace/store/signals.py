"""The state of the whole service in a few numbers, by one statement: for metrics and scaling."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

import orjson

from headrace.store.breakers import count_breakers
from headrace.store.gates import name_blocked
from headrace.store.outbox import NOTHING_WAITS, Waiting, measure_outbox
from headrace.store.sql import SQL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.store.pool import Connection

STATES: Final = ("due", "waiting", "blocked", "running", "unclaimable")
"""`due`: may run now; `waiting`: for its time, a signal or another job; `blocked`: for other jobs
of its key or tenant; `unclaimable`: due, and no worker carries it."""


Part: TypeAlias = tuple[str, ...]
"""A queue and a state."""


@dataclass(frozen=True, slots=True)
class Signals:
    """The state of all queues and workers at one moment.

    Attributes:
        depth: Jobs by queue and state.
        oldest_age_s: By queue and state: since when the oldest is due or runs; 0 for what waits.
        paused: Queues from which nothing is claimed.
        workers: Those that live.
        heartbeat_age_s: How long ago the most silent of them renewed its lease; None without any.
        dead_letters: Failed jobs that nobody dealt with.
        dead_letter_age_s: How long ago the oldest of them failed.
        outbox: How far sending to topics and webhooks is behind.
        breakers: Circuit breakers by name and state.
        blocked: Jobs that are kept out, by what does it.
    """

    depth: Mapping[Part, int]
    oldest_age_s: Mapping[Part, float]
    paused: frozenset[str]
    workers: int
    heartbeat_age_s: float | None
    dead_letters: int
    dead_letter_age_s: float | None
    outbox: Waiting = NOTHING_WAITS
    breakers: Mapping[Part, int] = field(default_factory=dict)
    blocked: Mapping[str, int] = field(default_factory=dict)

    @property
    def queues(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(sorted({part[0] for part in self.depth}))


async def read_signals(connection: Connection) -> Signals:
    """Read them."""
    row = await connection.fetchrow(SQL["signals.read_signals"])
    assert row is not None  # noqa: S101 - it has no `from`
    parts = orjson.loads(row["parts"] or "[]")
    depth: dict[Part, int] = {
        (name, state): 0 for name in orjson.loads(row["queues"] or "[]") for state in STATES
    }
    ages = dict.fromkeys(depth, 0.0)
    for part in parts:
        key = (part["queue"], part["state"])
        depth[key], ages[key] = int(part["depth"]), float(part["oldest_age_s"])
    return Signals(
        depth,
        ages,
        frozenset(orjson.loads(row["paused"] or "[]")),
        row["workers"],
        _age(row["heartbeat_age_s"]),
        row["dead_letters"],
        _age(row["dead_letter_age_s"]),
        await measure_outbox(connection),
        await count_breakers(connection),
        name_blocked(orjson.loads(row["blocked"] or "{}")),
    )


def _age(seconds: float | None) -> float | None:
    """What happened while the statement ran has no age yet."""
    return None if seconds is None else max(0.0, seconds)
