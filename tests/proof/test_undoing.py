"""What is undone is broken in each way, and the checker has to say so."""

from __future__ import annotations

from uuid import UUID

from tests.proof.database import Change
from tests.proof.world import World

NOT_INLINE = False


class TestUndo:
    async def test_nothing_is_found_where_all_is_undone_in_order(self, world: World) -> None:
        await undo(world)
        assert await world.found() == set()

    async def test_undo_a_run_whose_undo_job_is_not_there(self, world: World) -> None:
        await undo(world)
        await world.plant(
            "update headrace.jobs set undo_of = null, undo_run = null, undo_steps = null"
            " where undo_of is not null"
        )
        assert await world.found() == {"UNDO", "RESULT"}  # no other job completes without one

    async def test_undo_a_step_that_was_passed_over(self, world: World) -> None:
        await undo(world)
        await world.plant("delete from headrace.steps where step = 'pack.undo'")
        assert await world.found() == {"UNDO"}

    async def test_undo_a_step_before_the_one_behind_it(self, world: World) -> None:
        await undo(world)
        await world.plant(
            "update headrace.steps set finished_at = finished_at - interval '1 h'"
            " where step = 'pay.undo'"
        )
        assert "UNDO" in await world.found()

    async def test_undo_a_step_that_was_not_done(self, world: World) -> None:
        job = await undo(world)
        await world.plant("delete from headrace.steps where job = $1 and step = 'pay'", job)
        assert "UNDO" in await world.found()

    async def test_undo_a_run_that_completed(self, world: World) -> None:
        await undo(world)
        await world.plant(
            "update headrace.jobs set undo_of = $1 where undo_of is not null", world.done
        )
        assert await world.found() == {"UNDO"}


async def undo(world: World) -> UUID:
    """A job that failed after two steps, with its undo job, which has undone them."""
    engine = world.engine
    await engine.run(
        "submit.register_pipeline",
        "proof",
        "1.0.0",
        "hash",
        "{}",
        NOT_INLINE,
        None,
        1,
        ["pay", "pack"],
    )
    held = await world.hold()
    await engine.checkpoint(world.worker, [(held, "pay", "", "1"), (held, "pack", "", "2")])
    await world.plant("update headrace.steps set position = 2 where step = 'pack'")
    await engine.change(
        Change(held, tries=[("last", "", 1, None)], end=("failed", "attempts_exhausted"))
    )
    (taken,) = await engine.claim(world.worker)
    for step in ("pack.undo", "pay.undo"):
        await engine.checkpoint(world.worker, [(taken, step, "", "null")])
    await engine.change(Change(taken, end=("completed", "last")))
    await engine.connection.execute("delete from headrace.claims")
    return held.job
