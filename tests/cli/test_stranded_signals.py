"""Which jobs in flight a change of signals would strand."""

import pytest

from headrace import Pipeline, Signal
from headrace.cli.stranding import problems_of
from headrace.store.live import LiveJob, live_jobs
from headrace.testing import Engine
from tests.waiting import eventually
from tests.waits.pipes import PIPELINES, Approval, order

DEFAULT = frozenset({"default"})


def same() -> Pipeline[str, str]:
    return order


def without() -> Pipeline[str, str]:
    pipe = Pipeline("order", version="2.0.0", input=str, output=str)

    @pipe.step(was="price")
    async def decide(item: str) -> str: ...

    return pipe


def of_another_type() -> Pipeline[str, str]:
    pipe = Pipeline("order", version="2.0.0", input=str, output=str)

    @pipe.step(was="price")
    async def decide(item: str, approval: int = Signal()) -> str: ...

    return pipe


@pytest.fixture
async def live(database_server: str) -> dict[str, LiveJob]:
    """A job that waits for its approval, and one that has it before it has begun."""
    async with Engine(PIPELINES, server=database_server) as engine:
        waiting = await engine.submit(order, "lamp")

        async def waits() -> bool:
            return bool((await waiting.status()).waits)

        async with engine.worker():
            await eventually(waits)
        approved = await engine.submit(order, "lamp")
        await approved.send("approval", Approval(ok=True))
        names = {waiting.id: "waiting", approved.id: "approved"}
        async with engine.connection() as connection:
            return {names[str(job.id)]: job async for page in live_jobs(connection) for job in page}


class TestSignals:
    async def test_they_are_found_as_new_code_finds_them(self, live: dict[str, LiveJob]):
        kinds = {
            (which, make.__name__): [
                problem.kind
                for problem in problems_of(job, make(), DEFAULT)
                if problem.kind.startswith("signal")
            ]
            for which, job in live.items()
            for make in (same, without, of_another_type)
        }
        assert kinds == {
            ("waiting", "same"): [],
            ("waiting", "without"): ["signal_gone"],
            ("waiting", "of_another_type"): [],
            ("approved", "same"): [],
            ("approved", "without"): [],
            ("approved", "of_another_type"): ["signal_unfit"],
        }
