# pyright: strict
"""Wrong uses of the public names: each marked line is an error to a type checker, and no other."""

from datetime import datetime

from headrace import (
    Budget,
    CircuitBreaker,
    Each,
    JobHandle,
    Pipeline,
    RateLimit,
    Retry,
    RetryAfter,
    Signal,
    StepContext,
    SyncContext,
    Transaction,
    Use,
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

Pipeline("a", input=Idea)  # error
Pipeline("a", output=Idea)  # error
Pipeline("a", Idea, Decision)  # error
Pipeline("a", input=3, output=Decision)  # error
Pipeline("a", input=Idea, output=Decision, version=1)  # error
Pipeline("a", input=Idea, output=Decision, timeout="1 min")  # error
Pipeline("a", input=Idea, output=Decision, retry=3)  # error
Pipeline("a", input=Idea, output=Decision, presets={"fast": {"when": object()}})  # error

Retry(attempts="3")  # error
Retry(3, 1.0, 2.0)  # error
Retry(unless=ValueError())  # error
Retry(tries=3)  # error
RetryAfter("soon")  # error

RateLimit("openai")  # error
RateLimit("openai", 3_500)  # error
RateLimit("openai", requests=3_500, per="1 min")  # error
RateLimit("openai", requests=1).reserve(1_200)  # error
Budget("research", money=0.5)  # error
Budget("research", tokens=1, per="week")  # error
Budget("research", tokens=1, when_spent="stop")  # error

MODEL = Model()
consensus = Pipeline("consensus", input=Idea, output=Decision)


@consensus.step
async def expand(idea: Idea, llm: Model = Use(async_model)) -> Proposal:
    return await llm.propose(idea)


@consensus.step
async def words(expand: Proposal) -> list[str]:
    return expand.title.split()


@consensus.step
async def wrong_output(expand: Proposal) -> Review:
    return expand  # error


async def use_plain(llm: Persona = Use(plain_model)) -> None: ...  # error
async def use_async(llm: Persona = Use(async_model)) -> None: ...  # error
async def use_context(llm: Persona = Use(model_context)) -> None: ...  # error
async def use_async_context(llm: Persona = Use(async_model_context)) -> None: ...  # error
async def use_value(llm: Model = Use(MODEL)) -> None: ...  # error
async def use_argument(llm: int = Use(count)) -> None: ...  # error
async def each_list(name: str = Each(PERSONAS)) -> None: ...  # error
async def each_tuple(name: str = Each((1, 2))) -> None: ...  # error
async def each_step(word: int = Each(words)) -> None: ...  # error
async def each_other(word: str = Each(expand)) -> None: ...  # error
async def each_text(letter: int = Each("abc")) -> None: ...  # error
async def each_set(n: int = Each({1, 2})) -> None: ...  # error
async def each_key(p: Persona = Each(PERSONAS, key=lambda p: p.nme)) -> None: ...  # error
async def each_number(p: Persona = Each(PERSONAS, key=lambda p: len(p.name))) -> None: ...  # error
async def each_least(p: Persona = Each(PERSONAS, at_least="1")) -> None: ...  # error
async def each_least_type(p: Proposal = Each(PERSONAS, at_least=1)) -> None: ...  # error
async def each_positional(p: Persona = Each(PERSONAS, str)) -> None: ...  # error


consensus.step("name")  # error
consensus.step(name=3)  # error
consensus.step(time_out=3)  # error
consensus.step(timeout="3 s")  # error
consensus.step(retry=3)  # error
consensus.step(after=expand)  # error
consensus.step(parallel="many")  # error
consensus.step(runs_in="fiber")  # error
consensus.step(memory=1.5)  # error
consensus.step(expand, name="x")  # error


async def contexts(ctx: StepContext, tx: Transaction) -> object:
    await ctx.once("fetch", fetch, 3)  # error
    await ctx.once("fetch", fetch, "x", retries=3)  # error
    await ctx.once("count", count)  # error
    await ctx.once("book", book, "three")  # error
    await ctx.once(fetch, "name", "x")  # error
    await ctx.idempotent("fetch", fetch, 3)  # error
    await ctx.idempotent("count", count)  # error
    await ctx.idempotent(fetch, "x")  # error
    ctx.idempotent.with_options(tenant="acme")  # error
    ctx.idempotent.with_options(keep="a day")  # error
    text: str = await ctx.once("count", count, "x")  # error
    await ctx.submit(consensus, Persona("x"))  # error
    await ctx.submit("consensus", Idea("x"))  # error
    await ctx.submit(consensus, Idea("x"), key=3)  # error
    ctx.progress("half")  # error
    ctx.attempt = 3  # error
    ctx.job_id.nothing()  # error
    ctx.parameters["limit"] = 3  # error
    ctx.nothing()  # error
    await tx.execute(3)  # error
    await tx.executemany("insert", 3)  # error
    await tx.commit()  # error
    rows: int = await tx.fetch("select 1")  # error
    return text, rows


def sync_contexts(ctx: SyncContext) -> object:
    number: str = ctx.once("count", count, "x")  # error
    ctx.once("count", count, 3)  # error
    ctx.idempotent("count", count, 3)  # error
    ctx.submit(consensus, Persona("x"))  # error
    return number


async def direct_calls() -> object:
    await expand("x", Model())  # error
    await expand(Idea("x"), Persona("x"))  # error
    title: str = await expand(Idea("x"), Model())  # error
    return title


breaker = CircuitBreaker("openai")
CircuitBreaker("openai", failures="5")  # error
CircuitBreaker("openai", open_for="30 s")  # error
CircuitBreaker("openai", counts=OSError())  # error
CircuitBreaker("openai", tenant="acme")  # error


@breaker
async def ask(question: str) -> int:
    return len(question)


async def remember(question: int) -> int:
    return question


@breaker(fallback=remember)  # error
async def ask_or_remember(question: str) -> int:
    return len(question)


async def guarded_calls() -> str:
    await ask(3)  # error
    with breaker as call:
        call.nothing()  # error
    answer: str = await ask("x")  # error
    return answer


async def lock(ctx: StepContext) -> None:
    with ctx.lock("repo:42"):  # error
        pass
    async with ctx.lock(42) as lock:  # error
        lock.check()  # error


Signal(3)  # error
Signal(timeout="3 days")  # error


async def hand_over(idea: Idea, ctx: StepContext) -> JobHandle[str]:
    await ctx.send("answer")  # error
    stands: str = await ctx.send("answer", idea)  # error
    await ctx.submit(consensus, stands)  # error
    return await ctx.submit(consensus, idea)  # error


async def answer_jobs(handle: JobHandle[Decision]) -> None:
    await handle.send("answer", Decision(ok=True), "ann")  # error
    await handle.send(3, Decision(ok=True))  # error


@consensus.schedule("5 * * * *")  # error
def make_nothing(slot: datetime) -> None:
    str(slot)


@consensus.schedule("5 * * * *")  # error
async def make_from_text(slot: str) -> Idea:
    return Idea(slot)


@consensus.schedule("5 * * * *", missed="twice")  # error
def make_twice(slot: datetime) -> Idea:
    return Idea(str(slot))


@consensus.schedule(5)  # error
def make_never(slot: datetime) -> Idea:
    return Idea(str(slot))
