"""The pipelines of these tests."""

from dataclasses import dataclass

from headrace import Each, Pipeline


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


PIPELINES = [decide, double]
