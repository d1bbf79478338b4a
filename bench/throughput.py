"""Works about rates and latencies: each runs one subject once and returns its values by row."""

from collections.abc import Mapping
from typing import Final

from bench.events import mark, starts
from bench.figures import percentile
from bench.lab import Lab
from bench.protocol import MARK_EVERY, STEPS
from bench.runs import Run
from bench.sizes import START_GAP_MS, SUBMIT_BATCH, WARM_UP, Sizes
from bench.subjects import Subject

Values = Mapping[str, float]

WARM_UP_FROM: Final = 1_000_000_000  # numbers of warm-up jobs, apart from all others


async def drain(lab: Lab, subject: Subject) -> Values:
    """Bulk submission, then one worker until everything is durably done."""
    jobs = lab.sizes.drain
    async with lab.run(subject) as run:
        await run.settle()
        answer = await run.command("submit", "noop", 0, jobs, SUBMIT_BATCH)
        rate = await _drained(run, "noop", jobs, starts_of_each=1)
    return {"submit": jobs / answer["elapsed"], "drain": rate}


async def steps(lab: Lab, subject: Subject) -> Values:
    """Jobs of five sequential durable steps."""
    jobs = lab.sizes.steps_slow if subject.units else lab.sizes.steps
    async with lab.run(subject) as run:
        await run.command("submit", "steps", 0, jobs, SUBMIT_BATCH)
        return {"steps": await _drained(run, "steps", jobs, starts_of_each=STEPS)}


async def _drained(run: Run, kind: str, jobs: int, *, starts_of_each: int) -> float:
    """Jobs a second from the first start to all durably done, by one new worker."""
    await run.settle()
    total = jobs * starts_of_each
    await run.start_worker(kind, target=total)
    first = await run.until(lambda events: mark(events, 1))
    await run.until(lambda events: mark(events, total))
    return jobs / (await run.done(run.subject.units_of(kind, jobs)) - first.time)


async def start(lab: Lab, subject: Subject) -> Values:
    """Single submissions from another process to an idle worker: call to handler start."""
    waits = await start_waits(lab, subject)
    return {"start_p50": percentile(waits, 0.5), "start_p99": percentile(waits, 0.99)}


async def start_waits(lab: Lab, subject: Subject) -> list[float]:
    """The milliseconds of each of them."""
    jobs = lab.sizes.start
    async with lab.run(subject) as run:
        await run.start_worker("noop", trace=1)
        await run.command("submit1", "noop", WARM_UP_FROM, WARM_UP, START_GAP_MS)
        await _started(run, WARM_UP)
        await run.settle()
        answer = await run.command("submit1", "noop", 0, jobs, START_GAP_MS)
        started = await _started(run, WARM_UP + jobs)
    return [(started[job] - begin) * 1000 for job, begin in enumerate(answer["begin"])]


async def _started(run: Run, jobs: int) -> dict[int, float]:
    return await run.until(lambda e: found if len(found := starts(e)) >= jobs else None)


async def single(lab: Lab, subject: Subject) -> Values:
    """Awaited single submissions from one client, no worker."""
    jobs = lab.sizes.single
    async with lab.run(subject) as run:
        await run.command("submit1", "noop", WARM_UP_FROM, WARM_UP, 0)
        await run.settle()
        answer = await run.command("submit1", "noop", 0, jobs, 0)
    calls = zip(answer["begin"], answer["end"], strict=True)
    return {"single": sum(end - begin for begin, end in calls) / jobs * 1000}


async def crowded(lab: Lab, subject: Subject) -> Values:
    """The drain rate of the first jobs in a crowded table over that in a small one.

    The floor and other subjects without due times get the due jobs alone.
    """
    rates = []
    for crowd in (0, lab.sizes.crowd):
        async with lab.run(subject) as run:
            await _load(run, lab.sizes, crowd)
            await run.settle()
            await run.start_worker("noop")
            low = await run.until(lambda events: mark(events, MARK_EVERY))
            high = await run.until(lambda events: mark(events, lab.sizes.window))
            rates.append((lab.sizes.window - MARK_EVERY) / (high.time - low.time))
    return {"crowded": rates[1] / rates[0]}


async def _load(run: Run, sizes: Sizes, crowd: int) -> None:
    """Fill the table; last the jobs that are due soon, so that they still are not when drained."""
    due = crowd or 2 * sizes.window
    future = crowd // 2
    for kind, jobs in (("nobody", crowd), ("later", future), ("noop", due), ("soon", future)):
        if jobs and kind in run.subject.kinds:
            await run.command("submit", kind, 0, jobs, SUBMIT_BATCH)
