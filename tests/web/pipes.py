"""The pipelines of these tests."""

import asyncio
from dataclasses import dataclass

from headrace import Each, PermanentError, Pipeline, Signal, UserError


@dataclass(frozen=True, slots=True)
class Idea:
    title: str
    size: int = 1


@dataclass(frozen=True, slots=True)
class Decision:
    ok: bool
    title: str


decide = Pipeline(
    "decide",
    version="1.2.0",
    input=Idea,
    output=Decision,
    presets={"quick": {"personas": 1}},
)


@decide.step
async def expand(idea: Idea) -> list[int]:
    return list(range(idea.size))


@decide.step
async def review(number: int = Each(expand)) -> int:
    return number * 2


@decide.step
async def conclude(idea: Idea, review: list[int]) -> Decision:
    return Decision(ok=bool(review), title=idea.title)


double = Pipeline("double", input=int, output=int)


@double.step
async def twice(number: int) -> int:
    return number * 2


fragile = Pipeline("fragile", input=str, output=str)


@fragile.step
async def begin(word: str) -> str:
    return word


@fragile.step
async def handle(begin: str) -> str:
    if begin == "secret":
        raise PermanentError("postgresql://admin:hunter2@db.internal refused it")
    if begin == "user":
        raise UserError("the file is empty")
    return begin


hold = Pipeline("hold", input=int, output=int)


@hold.step
async def wait(number: int) -> int:
    await asyncio.Event().wait()
    return number


large = Pipeline("large", input=int, output=str)


@large.step
async def fill(number: int) -> str:
    return "x" * number


patient = Pipeline("patient", input=str, output=bool)


@patient.step
async def leave(word: str, *, go: bool = Signal(timeout=3_600)) -> bool:
    return go and bool(word)


PIPELINES = [decide, double, fragile, hold, large, patient]
