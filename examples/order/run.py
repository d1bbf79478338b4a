"""Three orders: one is approved, one refused, one cancelled while its parcel is on its way.

python examples/order/run.py [--answer] [--kill]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx2
from bank import Bank
from stage import HERE, Stage

os.chdir(HERE)  # the embedded database is that of this folder
os.environ.setdefault("SHOP_DRIVE_S", "5")

from books import Entry, balance, empty_books, link_of, parcels_of, read_entry, read_stock  # noqa: E402
from shop import Approval, Order, Receipt, app, orders  # noqa: E402

from headrace import JobHandle  # noqa: E402

T = TypeVar("T")
WAIT_S = 120.0
ANSWER_S = 3 * 24 * 3600.0


@dataclass
class Case:
    """One order, and what is to become of it."""

    order: Order
    approval: Approval
    changes_mind: bool = False


CASES = [
    Case(Order("Ada", "flour", 2, 640), Approval(granted=True, by="the clerk")),
    Case(Order("Ben", "bran", 60, 9000), Approval(granted=False, by="the clerk", note="too much")),
    Case(Order("Cleo", "grits", 1, 280), Approval(granted=True, by="the clerk"), changes_mind=True),
]


async def eventually(look: Callable[[], Awaitable[T]], what: str, within: float = WAIT_S) -> T:
    """The first thing that is true."""
    give_up_at = time.monotonic() + within
    while not (found := await look()):
        if time.monotonic() > give_up_at:
            raise SystemExit(f"{what} did not come within {within:g} s")
        await asyncio.sleep(0.1)
    return found


class Play:
    """The three orders, from the customers to the books."""

    def __init__(self, bank: Bank, stage: Stage, *, answers: bool, kills: bool) -> None:
        self._bank, self._stage = bank, stage
        self._answers, self._kills = answers, kills
        self._jobs: list[tuple[Case, JobHandle[Receipt]]] = []

    async def run(self) -> bool:
        """Do everything; whether the books are right."""
        await empty_books()
        for case in CASES:
            order = case.order
            self._jobs.append((case, await app.submit(orders, order)))
            print(f"{order.customer:5} orders {order.pieces} x {order.item}, {euro(order.cents)}")
        print("\nSomebody has to approve them, each behind a link of its own:")
        links = [await self._link_of(job) for _, job in self._jobs]
        for (case, _), link in zip(self._jobs, links, strict=True):
            print(f"{case.order.customer:5} {link}")
        print("\nThey wait, and hold no slot.")
        self._crash("while they wait for their answers")
        if self._answers:
            for (case, _), link in zip(self._jobs, links, strict=True):
                await self._answer(case, link)
        await asyncio.gather(*(self._follow(case, job) for case, job in self._jobs))
        await self._report()
        return await self._show()

    async def _link_of(self, job: JobHandle[Receipt]) -> str:
        return await eventually(lambda: link_of(job), "the mail with the link")

    async def _answer(self, case: Case, link: str) -> None:
        """Do what the form behind the link does."""
        body = {
            "granted": case.approval.granted,
            "by": case.approval.by,
            "note": case.approval.note,
        }
        async with httpx2.AsyncClient(headers={"Accept": "application/json"}) as browser:
            (await browser.post(link, json=body)).raise_for_status()
        print(f"{case.order.customer:5} is {'approved' if case.approval.granted else 'refused'}")

    async def _follow(self, case: Case, job: JobHandle[Receipt]) -> None:
        name, limit = case.order.customer, WAIT_S if self._answers else ANSWER_S

        async def ends_or_ships() -> bool:
            return (await job.status()).is_final or bool(await parcels_of(job))

        async def ends() -> bool:
            return (await job.status()).is_final

        if case.changes_mind:
            await eventually(ends_or_ships, f"{name}'s parcel", limit)
            if not await ends():
                await job.cancel(f"{name} wants it no more")
                print(f"{name:5} cancels, with the parcel on its way")
                self._crash("while that is undone")
        await eventually(ends, f"the end of {name}'s order", limit)
        status = await job.status()
        why = status.error.message if status.error else status.cancel_reason
        print(f"{name:5} {status.state}{f': {why}' if why else ''}")

    def _crash(self, when: str) -> None:
        if self._kills:
            self._stage.kill()
            print(f"kill -9 {when}; starting it again")
            self._stage.start()

    async def _report(self) -> None:
        """Let the schedule do now what it does each night."""
        job = await app.schedules.trigger("report.nightly")
        cents = await app.job(job).result(timeout=WAIT_S)
        print(f"\nThe report of the night: sold for {euro(cents)}")

    async def _show(self) -> bool:
        entries: list[Entry] = []

        async def all_is_right() -> bool:
            entries[:] = [await read_entry(case.order, job, self._bank) for case, job in self._jobs]
            return balance(entries, await read_stock())

        print(f"\n{'':5} {'end':10} {'paid':>10}  {'parcel':10} mails")
        try:
            await eventually(all_is_right, "what is undone", 30.0)
        finally:
            for entry in entries:
                parcel = ", ".join(entry.parcels) or "none"
                print(
                    f"{entry.order.customer:5} {entry.state:10} {euro(entry.paid):>10}"
                    f"  {parcel:10} {entry.mails:5}"
                )
            print("stock", ", ".join(f"{item} {n}" for item, n in (await read_stock()).items()))
        return True


def euro(cents: int) -> str:
    """An amount."""
    return f"{cents / 100:.2f} EUR"


async def play(bank: Bank, stage: Stage, *, answers: bool, kills: bool) -> bool:
    """Play it with an app of this process, which submits and looks."""
    async with app:
        return await Play(bank, stage, answers=answers, kills=kills).run()


def main() -> None:
    """Run the example on the embedded database of its folder."""
    parser = argparse.ArgumentParser(description="Three orders, and what becomes of them.")
    parser.add_argument("--answer", action="store_true", help="answer the links, as a person would")
    parser.add_argument("--kill", action="store_true", help="kill the worker, twice")
    given = parser.parse_args()
    logs = Path(tempfile.mkdtemp(prefix="headrace-example-"))
    with Bank() as bank:
        os.environ["SHOP_BANK"] = bank.address
        with Stage(logs / "dev.log") as stage:
            print(f"headrace dev is ready; what it says is in {logs}\n")
            asyncio.run(play(bank, stage, answers=given.answer, kills=given.kill))
    shutil.rmtree(logs)
    print(f"example ok: orders={len(CASES)} completed=1 cancelled=2")


if __name__ == "__main__":
    main()
