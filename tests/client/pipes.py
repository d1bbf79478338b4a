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
async def note(idea: Idea) -> str:
    return idea.title


@decide.step(was="verdict")
async def conclude(review: list[int], note: str) -> Decision:
    return Decision(ok=bool(review) and bool(note))


urgent = Pipeline("urgent", input=int, output=int, queue="urgent")


@urgent.step
async def double(number: int) -> int:
    return number * 2
