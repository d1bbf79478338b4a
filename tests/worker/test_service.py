import asyncio
from datetime import timedelta

from headrace.errors import DatabaseUnavailableError
from headrace.telemetry.worker_events import ServiceFailed, ServiceRecovered
from headrace.worker.service import PeriodicService, Service
from headrace.worker.timing import Timing
from tests.listening import listening
from tests.waiting import eventually

QUICK = Timing().scaled(1 / 100)


class Scripted(Service):
    """Lives through a list of lives: an error to raise, or None to work until stopped."""

    def __init__(self, *lives: BaseException | None) -> None:
        super().__init__("scripted", worker_id="7", timing=QUICK)
        self.lives = list(lives)
        self.closed = 0

    async def run(self) -> None:
        try:
            life = self.lives.pop(0) if self.lives else None
            if life is not None:
                raise life
            self.worked()
            await asyncio.Event().wait()
        finally:
            self.closed += 1


class Counting(PeriodicService):
    def __init__(self, every: timedelta) -> None:
        super().__init__("counting", every=every, worker_id="7", timing=QUICK)
        self.ticks = 0

    async def tick(self) -> None:
        self.ticks += 1


class TestService:
    async def test_a_failure_is_told_and_the_duty_starts_again(self) -> None:
        service = Scripted(ValueError("broken"))
        with listening() as told:
            service.start()
            await eventually(lambda: told.of(ServiceRecovered))
        assert service.is_healthy
        await service.stop()
        assert [(event.service, event.error) for event in told.of(ServiceFailed)] == [
            ("scripted", "ValueError: broken")
        ]

    async def test_it_is_not_healthy_between_a_failure_and_the_next_success(self) -> None:
        service = Scripted(*[ValueError("broken")] * 50)
        service.start()
        await eventually(lambda: not service.is_healthy)
        await service.stop()

    async def test_an_outage_is_told_once_however_many_tries_it_takes(self) -> None:
        service = Scripted(*[DatabaseUnavailableError("gone")] * 10)
        with listening() as told:
            service.start()
            await eventually(lambda: told.of(ServiceRecovered))
            await service.stop()
        assert len(told.of(ServiceFailed)) == 1

    async def test_a_duty_that_ends_by_itself_starts_again(self) -> None:
        class Ending(Scripted):
            async def run(self) -> None:
                if self.lives:
                    self.lives.pop()
                else:
                    await super().run()

        service = Ending(None)
        with listening() as told:
            service.start()
            await eventually(lambda: told.of(ServiceRecovered))
            await service.stop()

    async def test_a_cancellation_from_within_ends_one_life_only(self) -> None:
        service = Scripted(asyncio.CancelledError())
        with listening() as told:
            service.start()
            await eventually(lambda: told.of(ServiceRecovered))
            await service.stop()
        assert "cancelled from within" in told.of(ServiceFailed)[0].error

    async def test_stopping_waits_until_all_is_let_go(self) -> None:
        service = Scripted()
        service.start()
        await eventually(lambda: service.is_healthy)
        await asyncio.sleep(0)
        await service.stop()
        await service.stop()
        assert service.closed == 1
        assert not service.is_healthy


class TestPeriodicService:
    async def test_it_ticks_again_and_again(self) -> None:
        service = Counting(timedelta(milliseconds=1))
        service.start()
        await eventually(lambda: service.ticks > 5)
        await service.stop()

    async def test_waking_it_starts_a_pass_at_once(self) -> None:
        service = Counting(timedelta(hours=1))
        service.start()
        await eventually(lambda: service.ticks == 1)
        service.wake()
        await eventually(lambda: service.ticks == 2)
        await service.stop()
