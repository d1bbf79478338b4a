# pyright: strict
"""Right uses of the public names: a type checker has nothing to say, and infers these types."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import assert_type
from uuid import UUID

import asyncpg

from headrace import (
    Budget,
    CircuitBreaker,
    Each,
    Headrace,
    ItemError,
    ItemResult,
    JobHandle,
    Lock,
    PermanentError,
    Pipeline,
    RateLimit,
    RemoteClient,
    RemoteJob,
    Retry,
    RetryAfter,
    Signal,
    Skip,
    StepContext,
    SyncContext,
    SyncLock,
    Transaction,
    Use,
    UserError,
)
from tests.typing.things import (
    PERSONAS,
    Decision,
    Idea,
    Model,
    Persona,
    Proposal,
    Review,
    async_model,
    async_model_context,
    book,
    count,
    fetch,
    model_context,
    plain_model,
)

SHARED = RateLimit("openai", requests=3_500, tokens=90_000, per=timedelta(minutes=1), concurrent=9)
DAILY = Budget("research", tokens=1_000_000, money=Decimal(20), per="day", when_spent="fail")
consensus = Pipeline("consensus", version="1.2.0", input=Idea, output=Decision)
assert_type(consensus, Pipeline[Idea, Decision])
assert_type(Pipeline("a", input=Idea, output=Decision | None), Pipeline[Idea, Decision | None])
assert_type(Pipeline("b", input=str, output=list[int]), Pipeline[str, list[int]])
assert_type(
    Pipeline("c", input=int, output=int, presets={"fast": {"model": "small", "n": [1, None]}}),
    Pipeline[int, int],
)

assert_type(Use(plain_model), Model)
assert_type(Use(async_model), Model)
assert_type(Use(model_context), Model)
assert_type(Use(async_model_context), Model)
assert_type(Use(Model), Model)
assert_type(Each(PERSONAS), Persona)
assert_type(Each((1, 2)), int)
assert_type(Each(PERSONAS, key=lambda persona: persona.name), Persona)
assert_type(Each(PERSONAS, at_least=1), Persona)


@consensus.step(timeout=120, retry=Retry(attempts=3, first=1.0, unless=(ValueError, KeyError)))
async def expand(idea: Idea, llm: Model = Use(async_model)) -> Proposal:
    if not idea.text:
        raise UserError("write something")
    return await llm.propose(idea)


@consensus.step(parallel=5)
async def review(
    expand: Proposal, persona: Persona = Each(PERSONAS), llm: Model = Use(async_model_context)
) -> Review:
    return await llm.review(expand, persona)


@consensus.step
async def words(expand: Proposal) -> list[str]:
    return expand.title.split()


@consensus.step(was="measure")
async def length(*, word: str = Each(words, key=str.lower)) -> int:
    return len(word)


@consensus.step
async def spell(*, word: str = Each(words, key=str.lower, at_least=3)) -> int:
    return len(word)


@consensus.step
def misspelt(spell: list[ItemResult[int]]) -> dict[str, str]:
    lengths = [one.output for one in spell if one.output is not None]
    assert_type(lengths, list[int])
    assert_type(ItemResult("a", 1), ItemResult[int])
    shown: ItemResult[float | str] = spell[0]  # what it holds is only read
    assert shown.ok
    return {one.key: one.error.message for one in spell if one.error is not None}


async def forget(note_down: int, word: str, idea: Idea) -> None: ...


@consensus.step(undo=forget, undo_retry=Retry(attempts=9))
async def note_down(expand: Proposal, *, word: str = Each(words, key=str.lower)) -> int:
    return len(word) + len(expand.title)


@consensus.step(runs_in="process", memory=512, timeout=timedelta(minutes=2))
def add_up(length: list[int]) -> int:
    return sum(length)


@consensus.step(after=[add_up])
async def decide(review: list[Review], tx: Transaction) -> Decision | None:
    if not review:
        raise Skip("nobody asked")
    await tx.execute("insert into decisions values ($1)", len(review))
    rows = await tx.fetch("select ok from decisions where id = any($1)", [1, 2], timeout=3)
    row = await tx.fetchrow("select 1 as one")
    if row is None:
        raise PermanentError("no row")
    one: int = row["one"]
    return Decision(ok=bool(one) and all(found["ok"] for found in rows))


@consensus.step(name="publish")
async def send(ctx: StepContext, decide: Decision | None) -> None:
    body = await ctx.once("fetch", fetch, "https://example.org", tries=2)
    assert_type(body, bytes)
    assert_type(await ctx.once("count", count, "x"), int)
    assert_type(await ctx.once("book", book, 5), str)
    assert_type(await ctx.idempotent("fetch 1", fetch, "https://example.org", tries=2), bytes)
    assert_type(await ctx.idempotent("count x", count, "x"), int)
    assert_type(await ctx.idempotent("book 5", book, 5), str)
    patient = ctx.idempotent.with_options(keep=timedelta(days=7), wait=10, operation="count")
    assert_type(await patient("count x", count, "x"), int)
    child = await ctx.submit(consensus, Idea("again"), key="again", due=timedelta(hours=1))
    assert_type(child, JobHandle[Decision])
    assert_type(ctx.signal_url("answer", valid=timedelta(days=1), title="Send it?"), str)
    ctx.progress(1, 3, "sent")
    ctx.log.info("sent", body=len(body))
    if decide is None or ctx.cancelled or ctx.remaining() < timedelta(seconds=3):
        raise RetryAfter(timedelta(seconds=30), "too late")
    assert_type(ctx.item, str | None)
    assert_type(ctx.attempt, int)
    limit = ctx.parameters.get("limit", 3)
    assert isinstance(limit, int)


@consensus.step
def archive(ctx: SyncContext, decide: Decision | None) -> str:
    assert_type(ctx.once("count", count, "x"), int)
    assert_type(ctx.idempotent("count x", count, "x"), int)
    assert_type(ctx.idempotent.with_options(wait=10)("count x", count, "x"), int)
    assert_type(ctx.submit(consensus, Idea("x"), due=datetime.now(UTC)), JobHandle[Decision])
    assert_type(ctx.signal_url("answer", valid=60, text="It is long."), str)
    return f"{ctx.idempotency_key} {decide}"


async def direct_calls() -> None:
    proposal = await expand(Idea("x"), Model())
    assert_type(proposal, Proposal)
    assert_type(await review(proposal, Persona("x"), Model()), Review)
    assert_type(add_up([1, 2]), int)
    failed = ItemError("TIMEOUT", "timeout", "too slow")
    assert_type(misspelt([ItemResult("a", 3), ItemResult("b", error=failed)]), dict[str, str])


async def a_real_connection(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    tx: Transaction = connection
    await book(tx, 3)
    await decide([], connection)


@consensus.step
async def limited(decide: Decision | None) -> str:
    async with SHARED, SHARED.reserve(tokens=1_200, requests=2) as call:
        call.settle(tokens=900)
        call.hold("30")
    assert_type(await SHARED.hold(timedelta(seconds=30)), timedelta)
    async with DAILY.reserve(tokens=1_200, money="0.05") as cost:
        cost.settle(tokens=900, money=Decimal("0.02"))
    return f"{decide}"


@consensus.step
def limited_plainly(decide: Decision | None) -> str:
    with SHARED as one, DAILY.reserve(money=1) as cost:
        one.settle(requests=0)
        cost.settle(money=0)
    return f"{decide}"


async def an_app_outside_of_steps(app: Headrace) -> None:
    assert_type(await app.idempotent("fetch 1", fetch, "https://example.org"), bytes)
    acme = app.idempotent.with_options(tenant="acme", keep=60)
    assert_type(await acme("count x", count, "x"), int)


async def a_remote_api(client: RemoteClient) -> None:
    job = await client.submit(consensus, Idea("x"), due=timedelta(hours=1), idempotency_key="x")
    assert_type(job, RemoteJob[Decision])
    assert_type(await job.result(timeout=3), Decision)
    named = await client.submit("consensus", {"text": "x"}, output=Decision, priority="high")
    assert_type(named, RemoteJob[Decision])
    assert_type(client.job(job.id, consensus), RemoteJob[Decision])
    assert_type(client.job(job.id, list[int]), RemoteJob[list[int]])
    async for event in job.events():
        assert_type(event.name, str)
    async for one in client.list_jobs(states=["failed"]):
        assert_type(one.id, str)


breaker = CircuitBreaker(
    "openai", failures=3, within=timedelta(minutes=1), open_for=30, per_tenant=True, counts=OSError
)
CircuitBreaker("mail", counts=(OSError, KeyError))
CircuitBreaker("mail", counts=lambda error: CircuitBreaker.is_outage(error) or bool(error.args))


async def remember(question: str, *, times: int = 1) -> str:
    return question * times


@breaker
async def ask(question: str, *, times: int = 1) -> str:
    async with breaker:
        return question * times


@breaker(fallback=remember)
async def ask_or_remember(question: str, *, times: int = 1) -> str:
    return question * times


@breaker
def ask_plainly(question: str) -> int:
    with breaker:
        return len(question)


async def guarded_calls() -> None:
    assert_type(await ask("x", times=2), str)
    assert_type(await ask_or_remember("x", times=2), str)
    assert_type(ask_plainly("x"), int)


async def lock(ctx: StepContext, transaction: Transaction, app: Headrace) -> None:
    async with ctx.lock("repo:42", wait=timedelta(seconds=5), ttl=60, reason="push") as held:
        assert_type(held, Lock)
        assert_type(held.token, int)
        assert_type(await held.extend(30), datetime)
        await held.verify(transaction)
    async with app.lock("repo:42", tenant="acme") as held, app.connection() as connection:
        await held.verify(connection)


def lock_plainly(ctx: SyncContext) -> None:
    with ctx.lock("repo:42") as held:
        assert_type(held, SyncLock)
        assert_type(held.is_lost, bool)
        held.check()


@consensus.step(delay=timedelta(hours=1))
async def hand_over(
    idea: Idea, ctx: StepContext, answer: Decision = Signal(timeout=timedelta(days=3))
) -> JobHandle[Decision]:
    assert_type(await ctx.send("answer", Decision(ok=answer.ok)), bool)
    return await ctx.submit(consensus, idea)


@consensus.step
def hand_over_plainly(
    idea: Idea, ctx: SyncContext, late: Decision | None = Signal()
) -> JobHandle[Decision] | None:
    assert_type(ctx.send("late", late), bool)
    return None if late is None else ctx.submit(consensus, idea)


async def answer_jobs(handle: JobHandle[Decision], app: Headrace, client: RemoteClient) -> None:
    assert_type(await handle.send("answer", Decision(ok=True), actor="ann"), bool)
    assert_type(await app.send(handle.id, "answer", Decision(ok=True)), bool)
    assert_type(await client.send(handle.id, "answer", Decision(ok=True)), bool)
    assert_type(await client.job(handle.id).send("answer", {"ok": True}), bool)
    assert_type([wait.until for wait in (await handle.status()).waits], list[datetime | None])
    assert_type([child.id for child in (await client.status(handle.id)).children], list[str])


@consensus.schedule("5 * * * *", timezone="Europe/Berlin", missed="all", name="hourly")
def make_idea(slot: datetime) -> Idea:
    return Idea(slot.isoformat())


@consensus.schedule("@daily", tenant="acme", owner="night")
async def make_idea_later(slot: datetime) -> Idea:
    return Idea(slot.isoformat())


async def schedules(app: Headrace) -> None:
    assert_type(make_idea(datetime.now(UTC)), Idea)
    assert_type(await make_idea_later(datetime.now(UTC)), Idea)
    assert_type((await app.schedules.show("consensus.hourly")).schedule.next_slot, datetime)
    assert_type(await app.schedules.trigger("consensus.hourly", reason="now"), UUID)
