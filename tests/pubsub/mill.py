"""The pipeline of these tests."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from headrace import Pipeline


@dataclass
class Grain:
    sacks: int


class Stone:
    """Holds all jobs while `free` is there and not set; counts those that began."""

    def __init__(self) -> None:
        self.free: asyncio.Event | None = None
        self.begun = 0


stone = Stone()
grind = Pipeline("grind", version="1.0.0", input=Grain, output=int)


@grind.step
async def mill(grain: Grain) -> int:
    stone.begun += 1
    if stone.free is not None:
        await stone.free.wait()
    return grain.sacks * 80
