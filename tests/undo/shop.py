"""A shop whose steps can be undone, and what its steps did."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from headrace import Each, JobHandle, Pipeline, Retry, RetryAfter, StepContext
from headrace.model.status import UndoStatus
from headrace.testing import Engine

QUICK = Retry(attempts=2, first=0.1, jitter=0)
ONCE = Retry(attempts=1)


@dataclass
class Shop:
    """What was done and undone, in order, and what goes wrong."""

    pipeline: Pipeline[int, str]
    did: list[str] = field(default_factory=list)
    closed: set[str] = field(default_factory=set)
    """Undo functions that fail."""
    ending: str = "fails"
    """What the last step does: `fails`, `waits` for an hour, `hangs` or `ends`."""
    hangs: asyncio.Event = field(default_factory=asyncio.Event)


def open_shop(**options: Any) -> Shop:
    """A shop with three steps that can be undone; the second one packs two boxes."""
    shop = Shop(Pipeline("shop", input=int, output=str, **options))

    async def release(reserve: str) -> None:
        _undo(shop, f"release {reserve}")

    async def unpack(pack: str, box: str, reserve: str, order: int) -> None:
        _undo(shop, f"unpack {pack} of {box} {reserve} {order}")

    def refund(pay: float, order: int) -> str:
        _undo(shop, f"refund {pay} {order}")
        return "refunded"

    @shop.pipeline.step(undo=release, undo_retry=QUICK)
    async def reserve(order: int) -> str:
        shop.did.append("reserve")
        return f"r{order}"

    @shop.pipeline.step
    async def look(order: int) -> int:
        shop.did.append("look")
        return order

    @shop.pipeline.step(undo=unpack, undo_retry=ONCE)
    async def pack(reserve: str, box: str = Each(["a", "b"], key=str)) -> str:
        shop.did.append(f"pack {box}")
        return f"{box}{reserve}"

    @shop.pipeline.step(undo=refund, retry=QUICK)
    async def pay(order: int, pack: list[str]) -> float:  # noqa: ARG001
        shop.did.append("pay")
        return 0.5

    @shop.pipeline.step(retry=ONCE)
    async def ship(pay: float, look: int, ctx: StepContext) -> str:  # noqa: ARG001
        return await _end(shop)

    return shop


UNDONE = ["refund 0.5 1", "unpack br1 of b r1 1", "unpack ar1 of a r1 1", "release r1"]
"""What undoes order 1 when all but its last step was done."""


def _undo(shop: Shop, what: str) -> None:
    shop.did.append(what)
    if what.partition(" ")[0] in shop.closed:
        raise RuntimeError(f"cannot {what}")


async def _end(shop: Shop) -> str:
    shop.did.append("ship")
    if shop.ending == "waits":
        raise RetryAfter(3600)
    if shop.ending == "hangs":
        shop.hangs.set()
        await asyncio.sleep(60)
    if shop.ending == "fails":
        raise RuntimeError("no lorry")
    return "shipped"


async def undo_of(job: JobHandle[Any]) -> UndoStatus:
    """What undoes a job."""
    undo = (await job.status()).undo
    assert undo is not None
    return undo


async def undone(engine: Engine, job: JobHandle[Any], state: str = "completed") -> UndoStatus:
    """What undoes a job, once all has ended."""
    await engine.run_until_empty()
    undo = await undo_of(job)
    assert undo.state == state
    return undo


async def waits_for(engine: Engine, job: str, reason: str) -> bool:
    """Whether a job is queued for this reason."""
    return (await engine.app.status(job)).wait_reason == reason
