"""A worker is killed at every failpoint; the next ones bring everything to its end."""

import asyncio
import contextlib
import re
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

import headrace
from headrace.store.failpoints import VARIABLE
from tests.crash.answers import Answers
from tests.crash.app import ScaledHeadrace, pipelines
from tests.crash.fleet import Blow, Slot, until
from tests.crash.judge import judge
from tests.crash.load import Load
from tests.crash.proxy import Proxy
from tests.crash.rings import Rings, rings
from tests.crash.run import OPEN, SCALED, UNSENT, environment_of, make_tables
from tests.crash.server import CrashServer
from tests.proof.journal import Journal

HITS: Final = (1, 2)
AT_ONCE: Final = 2
JOBS: Final = 5
REACH_S: Final = 30.0
DRAIN_S: Final = 60.0

CALL: Final = re.compile(r"\bhit\(f?\"([^\"]+)\"\)")
KINDS: Final = ("finish", "checkpoint", "change")


def failpoints() -> Iterator[str]:
    """The names of all failpoints in the source."""
    for path in sorted(Path(headrace.__file__).parent.rglob("*.py")):
        for name in CALL.findall(path.read_text(encoding="utf-8")):
            if "{kind}" in name:
                yield from (name.format(kind=kind) for kind in KINDS)
            else:
                yield name


POINTS: Final = sorted(point for point in set(failpoints()) if not point.startswith("schedule."))
"""Those of schedules are reached once in a minute: tests/schedules/test_crashes.py kills there."""
REAPER: Final = [point for point in POINTS if point.startswith("reaper")]
SENDING: Final = ("after_send",)
"""Points that only a worker reaches that knows where to send results; others start faster."""
LEASES_END: Final = "update headrace.outbox set leased_until = headrace.now()"
"""A minute passes: whoever had taken events to send them is dead."""
HELD: Final = """
    select count(*) from headrace.jobs as job
    join headrace.workers as worker on worker.id = job.worker
    where job.state = 'running' and worker.lost_at is null and worker.stopped_at is null
"""


class Range:
    """One database, and workers that are killed before it."""

    def __init__(
        self, server: CrashServer, folder: Path, load: Load, answers: Answers, rings: Rings
    ) -> None:
        self._answers = answers
        self._server, self._folder, self._load = server, folder, load
        self._environment = environment_of(folder, SCALED)
        self._outlet = rings.outlet
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._workers = 0
        self.blows: list[Blow] = []

    async def kill_at(self, point: str, nth: int) -> str:
        """Run a worker until it is killed there; says what went otherwise."""
        async with self._turns:
            mark = self._folder / f"{point}-{nth}"
            specification = {VARIABLE: f"{point}:{nth}:kill:{mark}"}
            if point in SENDING:
                specification |= self._outlet
            async with self._worker(specification) as slot:
                assert slot.process is not None
                pid = slot.process.pid
                feeder = asyncio.create_task(self._feed())
                try:
                    async with asyncio.timeout(REACH_S):
                        code = await slot.process.wait()
                except TimeoutError:
                    return f"{point} was not hit {nth} times"
                finally:
                    feeder.cancel()
                    await asyncio.gather(feeder, return_exceptions=True)
                self.blows.append(Blow("kill", slot.number, pid, mark.stat().st_mtime))
                return "" if code == -signal.SIGKILL else f"{point}: exit code {code}"

    async def kill_reaper_at(self, point: str, nth: int) -> str:
        """As `kill_at`, with a worker that has just died for the reaper to find."""
        for _ in range(nth):
            async with self._worker({}) as victim:
                await self._load.submit_one(pipeline="slow")
                async with asyncio.timeout(REACH_S):
                    await until(self._is_held)
                blow = victim.kill(supervisor=False)
                assert blow is not None
                self.blows.append(blow)
        return await self.kill_at(point, nth)

    async def drain(self) -> None:
        """One worker, whom nobody kills, ends everything; what was being sent is due again."""
        connection = await self._server.connect()
        await connection.execute(LEASES_END)
        await connection.close()
        async with self._worker(self._outlet) as slot:
            with contextlib.suppress(TimeoutError):  # what is left then is found by the judge
                async with asyncio.timeout(DRAIN_S):
                    await until(self._is_empty)
            await slot.stop()

    async def _feed(self) -> None:
        while True:
            await self._answers.answer_all()
            for _ in range(JOBS):
                await self._load.submit_one()
            await asyncio.sleep(1.0)

    async def _is_empty(self) -> bool:
        await self._answers.answer_all()
        return await self._count(OPEN) == await self._count(UNSENT) == 0

    async def _is_held(self) -> bool:
        return await self._count(HELD) > 0

    async def _count(self, query: str) -> int:
        connection = await self._server.connect()
        try:
            return int(await connection.fetchval(query))
        finally:
            connection.terminate()

    @asynccontextmanager
    async def _worker(self, more: dict[str, str]) -> AsyncIterator[Slot]:
        self._workers += 1
        log = self._folder / f"worker-{self._workers}.log"
        proxy = Proxy(self._server.socket)
        await proxy.start()
        slot = Slot(self._workers, proxy, {**self._environment, **more}, log, supervised=False)
        await slot.start()
        try:
            yield slot
        finally:
            slot.kill(supervisor=True)
            if slot.process is not None:
                await slot.process.wait()
            await proxy.stop()


@pytest.mark.timeout(400)
async def test_a_kill_at_any_failpoint_breaks_no_invariant(crash_folder: Path) -> None:
    assert len(POINTS) > 8
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(CrashServer())
        await make_tables(server)
        outside = stack.enter_context(rings(crash_folder, SCALED))
        await stack.enter_async_context(outside.prepared(server))
        app = ScaledHeadrace(pipelines, database=server.address)
        async with app:
            load = Load(app, Journal(crash_folder / "journal"), seed=1)
            answers = Answers(app, crash_folder / "sent", seed=1)
            load.on_accepted = answers.accepted
            place = Range(server, crash_folder, load, answers, outside)
            ends = await asyncio.gather(
                *(
                    place.kill_at(point, nth)
                    for nth in HITS
                    for point in POINTS
                    if point not in REAPER
                )
            )
            for point in REAPER:
                ends += [await place.kill_reaper_at(point, nth) for nth in HITS]
            await place.drain()
        await outside.settled()
        connection = await server.connect()
        verdict = await judge(connection, crash_folder, place.blows, set())
        await connection.close()
    assert [end for end in ends if end] == []
    assert not verdict.violations, f"{crash_folder}\n" + "\n".join(map(str, verdict.violations))
    assert verdict.counts["received again"] >= len(SENDING) * len(HITS)  # sent, and not marked
