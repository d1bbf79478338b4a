"""Submits jobs of every kind and keeps a journal of what it was told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final

from headrace import Headrace
from headrace.client.options import SubmitOptions
from headrace.errors import HeadraceError
from tests.crash import patient, steps
from tests.crash.steps import Order
from tests.proof.journal import Journal, Request, hash_of

WEIGHTS: Final = {
    "single": 20,
    "chain": 20,
    "fixed": 10,
    "dynamic": 10,
    "lossy": 8,
    "undone": 8,
    "careful": 8,
    "flaky": 10,
    "transfer": 10,
    "slow": 8,
    "threaded": 4,
    "stubborn": 2,
    "locked": 15,
    "paid": 10,
    "limited": 10,
    "asked": 10,
    "delayed": 5,
    "family": 8,
    "booked": 12,
}
PIPELINES: Final = {pipeline.name: pipeline for pipeline in (*steps.ALL, *patient.ALL)}
AT_ONCE: Final = 20
SUBMIT_S: Final = 15.0
SLOWEST_S: Final = 8.0
ORDERED: Final = 0.15
"""Of the jobs, the share that has an ordering key; each second one of `limited` has another key."""
KEYS: Final = 8


class Load:
    """The traffic; one integer decides what is submitted, in which order."""

    def __init__(self, app: Headrace, journal: Journal, seed: int) -> None:
        self.app, self._journal = app, journal
        self._random = random.Random(f"load {seed}")  # noqa: S311 - repeatable on purpose
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._unknown: dict[str, tuple[str, Order, SubmitOptions]] = {}
        self._sent = 0
        self.accepted: list[str] = []
        self.surprises: list[str] = []
        """Errors of a submission that are none of headrace's own."""
        self.poison: set[str] = set()
        self.on_accepted: Callable[[str, str], None] | None = None
        """Told the pipeline and the id of each job."""

    @property
    def doubtful(self) -> int:
        """Submissions whose answer never came."""
        return len(self._unknown)

    async def submit_one(self, *, poison: bool = False, pipeline: str | None = None) -> None:
        """Submit the next job."""
        self._sent += 1
        name = pipeline or self._random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        work = self._random.uniform(1.0, SLOWEST_S)
        order = Order(self._sent, round(work, 2), poison)
        # Poison blocks its key, and what is measured waits for nobody.
        keys = SubmitOptions() if poison or pipeline else self._keys(name)
        if poison:
            name = "slow"
        async with self._slots:
            await self._send(f"key {self._sent}", name, order, keys)

    def _keys(self, name: str) -> SubmitOptions:
        keys = SubmitOptions()
        if self._random.random() < ORDERED:
            keys["ordering_key"] = f"order {self._random.randrange(KEYS)}"
        if name == "limited" and self._random.random() < 0.5:
            keys["concurrency_key"] = f"few {self._random.randrange(2)}"
        return keys

    async def settle(self) -> None:
        """Ask again, with the same keys, for everything whose answer never came."""
        for key, (name, order, keys) in list(self._unknown.items()):
            await self._send(key, name, order, keys)

    async def replay(self, every_s: float) -> None:
        """Open new runs of jobs that have ended, without end."""
        while True:
            await asyncio.sleep(every_s)
            if self.accepted:
                job = self._random.choice(self.accepted)
                # It may not have ended, and the database may be away: then another one.
                with contextlib.suppress(HeadraceError, TimeoutError):
                    async with asyncio.timeout(SUBMIT_S):
                        await self.app.replay(job, force=True)

    async def _send(self, key: str, name: str, order: Order, keys: SubmitOptions) -> None:
        pipeline: Any = PIPELINES[name]
        body = hash_of(json.dumps(asdict(order)))
        try:
            async with asyncio.timeout(SUBMIT_S):
                handle = await self.app.submit(pipeline, order, idempotency_key=key, **keys)
        except Exception as error:  # noqa: BLE001 - counted below, nothing is swallowed
            if not isinstance(error, HeadraceError | TimeoutError):
                self.surprises.append(repr(error))
            self._unknown[key] = name, order, keys
            self._journal.write(Request(outcome="unknown", pipeline=name, body=body, key=key))
            return
        job = handle.id
        self._unknown.pop(key, None)
        self.accepted.append(job)
        if self.on_accepted is not None:
            self.on_accepted(name, job)
        if order.poison:
            self.poison.add(job)
        self._journal.write(Request(outcome="ok", pipeline=name, body=body, key=key, job=job))
