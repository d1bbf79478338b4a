"""What the shop and the bank have written down of orders, and whether it adds up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bank import Bank
from shop import Order, app

from headrace import JobHandle, JobState

EMPTY = "truncate shop.mails, shop.parcels, shop.sales, shop.reports"
ORDERS = "select distinct order_id from shop.mails"
FULL = "update shop.stock set pieces = 100"
STOCK = "select item, pieces from shop.stock"
LINK = "select body from shop.mails where order_id = $1 and recipient = 'clerk'"
PARCELS = "select state from shop.parcels where order_id = $1"
MAILS = "select count(*) from shop.mails where order_id = $1"
SALES = "select count(*) from shop.sales where order_id = $1"


@dataclass
class Entry:
    """What became of one order.

    Attributes:
        paid: What the customer has paid and not got back, in cents.
        parcels: The state of each.
    """

    order: Order
    state: JobState
    paid: int
    parcels: list[str]
    mails: int
    sales: int

    @property
    def is_right(self) -> bool:
        """Whether what was done is what the order's end says: all of it, or nothing."""
        if self.state == JobState.COMPLETED:
            wanted = (self.order.cents, ["delivered"], 2, 1)
            return wanted == (self.paid, self.parcels, self.mails, self.sales)
        is_back = set(self.parcels) <= {"returned"}
        return self.state == JobState.CANCELLED and (self.paid, self.sales) == (0, 0) and is_back


async def empty_books() -> None:
    """Begin with a full store and nothing sold; what an earlier run has left open is cancelled."""
    async with app.connection() as connection:
        left = [row["order_id"] for row in await connection.fetch(ORDERS)]
    for job in left:
        if not (await app.job(job).status()).is_final:
            await app.job(job).cancel("the example was begun again")
    async with app.connection() as connection:
        await connection.execute(EMPTY)
        await connection.execute(FULL)


async def link_of(job: JobHandle[object]) -> str | None:
    """The link that the clerk was sent; None where it is not sent yet."""
    async with app.connection() as connection:
        link: str | None = await connection.fetchval(LINK, job.id)
        return link


async def parcels_of(job: JobHandle[object]) -> list[str]:
    """The state of each parcel."""
    async with app.connection() as connection:
        return [row["state"] for row in await connection.fetch(PARCELS, job.id)]


async def read_entry(order: Order, job: JobHandle[object], bank: Bank) -> Entry:
    """What is written of an order now."""
    async with app.connection() as connection:
        mails = await connection.fetchval(MAILS, job.id)
        sales = await connection.fetchval(SALES, job.id)
    state = (await job.status()).state
    paid = bank.paid(order.customer)
    return Entry(order, state, paid, await parcels_of(job), mails, sales)


async def read_stock() -> dict[str, int]:
    """Pieces in store."""
    async with app.connection() as connection:
        return {row["item"]: row["pieces"] for row in await connection.fetch(STOCK)}


def balance(entries: Sequence[Entry], stock: dict[str, int]) -> bool:
    """Whether all is as it should be: what is not sold is in store."""
    left = dict.fromkeys(stock, 100)
    for entry in entries:
        if entry.state == JobState.COMPLETED:
            left[entry.order.item] -= entry.order.pieces
    return stock == left and all(entry.is_right for entry in entries)
