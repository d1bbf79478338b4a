"""What the engine tells about a job while it runs."""

from headrace import Pipeline, Skip
from headrace.telemetry.events import Event
from tests.engine.conftest import MakeEngine
from tests.listening import listening

OF_A_JOB = {
    "enqueued", "job_claimed", "job_started", "step_started", "step_completed", "step_skipped",
    "step_failed", "job_completed",
}  # fmt: skip


def told_of(event: Event) -> tuple[str, str | None]:
    return event.name, getattr(event, "step", None)


class TestAJob:
    async def test_every_attempt_is_told_from_its_start_to_its_outcome(
        self, make_engine: MakeEngine
    ):
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step
        async def kept(number: int) -> int:
            return number

        @pipe.step
        async def skipped(kept: int) -> int | None:
            raise Skip(f"not for {kept}")

        @pipe.step
        def last(kept: int, skipped: int | None) -> int:
            return kept + (skipped or 0)

        async with make_engine([pipe]) as engine:
            with listening() as told:
                await engine.submit(pipe, 7)
                await engine.run_until_empty()
        assert [told_of(event) for event in told if event.name in OF_A_JOB] == [
            ("enqueued", None),
            ("job_claimed", None),
            ("job_started", None),
            ("step_started", "kept"),
            ("step_completed", "kept"),
            ("step_started", "skipped"),
            ("step_skipped", "skipped"),
            ("step_started", "last"),
            ("step_completed", "last"),
            ("job_completed", None),
        ]
