"""Answers jobs that ask: early, late, twice and otherwise; and cancels some of them."""

from __future__ import annotations

import asyncio
import random
from dataclasses import asdict
from pathlib import Path
from typing import Final, Literal, TypeAlias

from headrace import Headrace
from headrace.errors import HeadraceError, JobFinishedError
from tests.crash.patient import ASKING, Answer
from tests.proof.sending import Sent, SentLedger

Told: TypeAlias = Literal["stands", "other", "over", "unknown"]

SEND_S: Final = 15.0
LATEST: Final = 40
"""Of the jobs that were accepted, so many are answered at random."""
CANCELS: Final = 0.1
REFUSES: Final = 0.4
ASKS: Final = """
    select id::text from headrace.jobs where state = 'queued' and wait_reason = 'external'
"""


class Answers:
    """Those who answer; one integer decides what they say.

    Args:
        app: By which they do.
        ledger: Where they write down what they were told.
    """

    def __init__(self, app: Headrace, ledger: Path, seed: int) -> None:
        self._app, self._ledger = app, SentLedger(ledger)
        self._random = random.Random(f"answers {seed}")  # noqa: S311 - repeatable on purpose
        self._jobs: list[tuple[str, str]] = []
        self._number = 0

    def accepted(self, pipeline: str, job: str) -> None:
        """A job was accepted."""
        if pipeline in ASKING:
            self._jobs.append((pipeline, job))

    async def go_on(self, rate: float) -> None:
        """Answer somebody, so many times in a second, without end."""
        while True:
            await asyncio.sleep(self._random.expovariate(rate))
            if self._jobs:
                pipeline, job = self._random.choice(self._jobs[-LATEST:])
                if self._random.random() < CANCELS:
                    await self._cancel(job)
                else:
                    await self._send(job, self._random.choice(ASKING[pipeline]))

    async def answer_all(self) -> None:
        """Answer everybody who waits for it."""
        async with self._app.connection() as connection:
            jobs = [row["id"] for row in await connection.fetch(ASKS)]
        for job in jobs:
            await self._send(job, "answer")

    async def _cancel(self, job: str) -> None:
        try:
            async with asyncio.timeout(SEND_S):
                await self._app.job(job).cancel("changed their mind")
        except (HeadraceError, TimeoutError):
            return  # it has ended, or the database is away

    async def _send(self, job: str, name: str) -> None:
        self._number += 1
        answer = Answer(self._random.random() > REFUSES, self._number)
        told: Told
        try:
            async with asyncio.timeout(SEND_S):
                stands = await self._app.job(job).send(name, answer)
            told = "stands" if stands else "other"
        except JobFinishedError:
            told = "over"
        except (HeadraceError, TimeoutError):
            told = "unknown"
        self._ledger.write(Sent(told=told, job=job, name=name, value=asdict(answer)))
