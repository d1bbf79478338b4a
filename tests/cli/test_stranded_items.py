"""Which items of jobs in flight a change of `at_least` would strand."""

from uuid import UUID

import pytest

from headrace import Each, Pipeline
from headrace.cli.stranding import problems_of
from headrace.store.live import LiveJob, StoredOutput

FAILED = '{"code":"TIMEOUT","kind":"timeout","message":"slow","cause":"step_timeout"}'
STORED = (
    StoredOutput("work", "", "planned", '[["a",1],["b",2]]'),
    StoredOutput("work", "a", "completed", "1"),
    StoredOutput("work", "b", "failed", FAILED),
)


def pipeline(at_least: int | None, output: type[int | str]) -> Pipeline[int, object]:
    pipe = Pipeline[int, object]("pipe", input=int, output=int)

    @pipe.step
    async def work(number: int, item: int = Each((1, 2), at_least=at_least)) -> output: ...

    taken = pipe.steps["work"].produces

    @pipe.step
    async def gather(work: taken) -> int: ...

    return pipe


class TestItemsThatMayFail:
    @pytest.mark.parametrize(
        ("at_least", "output", "kinds"),
        [(1, int, []), (2, int, []), (1, str, ["output_unfit"]), (None, int, ["output_unfit"])],
        ids=["same", "other-number", "other-type", "without"],
    )
    def test_outputs_are_read_as_later_steps_will(
        self, at_least: int | None, output: type[int | str], kinds: list[str]
    ):
        job = LiveJob(UUID(int=1), "default", "pipe", "1.0.0", "1", STORED)
        found = problems_of(job, pipeline(at_least, output), frozenset({"default"}))
        assert [problem.kind for problem in found] == kinds
