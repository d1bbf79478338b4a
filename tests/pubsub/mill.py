"""The pipeline of these tests."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from headrace import Pipeline


@dataclass
class Grain:
    sacks: int
    takes_s: float = 0.0


grind = Pipeline("grind", version="1.0.0", input=Grain, output=int)


@grind.step
async def mill(grain: Grain) -> int:
    await asyncio.sleep(grain.takes_s)
    return grain.sacks * 80
