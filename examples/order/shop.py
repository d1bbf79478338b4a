"""The app of the example: an order, from the reservation to the parcel at the door."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import httpx2

from headrace import (
    CancelJob,
    Headrace,
    JobHandle,
    Pipeline,
    Signal,
    StepContext,
    Transaction,
    Use,
)

DRIVE = timedelta(seconds=float(os.environ.get("SHOP_DRIVE_S", "3600")))
"""How long a parcel is on its way."""
MIGRATIONS = Path(__file__).parent / "migrations"


@dataclass
class Order:
    customer: str
    item: str
    pieces: int
    cents: int


@dataclass
class Payment:
    order_id: str
    number: str


@dataclass
class Approval:
    granted: bool
    by: str
    note: str = ""


@dataclass
class Parcel:
    order_id: str
    item: str


@dataclass
class Shipment:
    parcel: str


@dataclass
class Receipt:
    parcel: str
    cents: int


@asynccontextmanager
async def bank_client() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=os.environ["SHOP_BANK"], timeout=10) as client:
        yield client


async def write_mail(tx: Transaction, ctx: StepContext, *said: str) -> None:
    await tx.execute("insert into shop.mails values ($1, $2, $3, $4)", ctx.job_id, *said)


# --- shipping: a job of its own, for which the order waits

shipping = Pipeline("shipping", input=Parcel, output=Shipment)


async def unpack(pack: str, tx: Transaction) -> None:
    await tx.execute("update shop.parcels set state = 'returned' where id = $1", pack)


@shipping.step(undo=unpack)
async def pack(parcel: Parcel, ctx: StepContext, tx: Transaction) -> str:
    await tx.execute(
        "insert into shop.parcels values ($1, $2, $3, 'packed')",
        *(ctx.job_id, parcel.order_id, parcel.item),
    )
    return str(ctx.job_id)


@shipping.step(delay=DRIVE)
async def deliver(pack: str, tx: Transaction) -> Shipment:
    arrived = await tx.fetchval(
        "update shop.parcels set state = 'delivered' where id = $1 and state = 'packed'"
        " returning id",
        pack,
    )
    if arrived is None:
        raise CancelJob("it was called back")
    return Shipment(pack)


# --- the order

orders = Pipeline("order", input=Order, output=Receipt, migrations=MIGRATIONS)


async def put_back(order: Order, tx: Transaction) -> None:
    await tx.execute(
        "update shop.stock set pieces = pieces + $2 where item = $1", order.item, order.pieces
    )


@orders.step(undo=put_back)
async def reserve(order: Order, tx: Transaction) -> int:
    left = await tx.fetchval(
        "update shop.stock set pieces = pieces - $2 where item = $1 and pieces >= $2"
        " returning pieces",
        *(order.item, order.pieces),
    )
    if left is None:
        raise CancelJob(f"{order.item} is sold out")
    return int(left)


async def refund(payment: Payment, bank: httpx2.AsyncClient = Use(bank_client)) -> None:
    (await bank.delete(f"/payments/{payment.number}")).raise_for_status()


@orders.step(after=[reserve], undo=refund)
async def payment(ctx: StepContext) -> Payment:
    # The bank's number for the payment is stored before any money moves. So the refund knows it,
    # whatever became of the call.
    return Payment(str(ctx.job_id), f"{ctx.job_id}.{ctx.run}")


@orders.step
async def charge(
    order: Order, payment: Payment, bank: httpx2.AsyncClient = Use(bank_client)
) -> int:
    body = {"account": order.customer, "cents": order.cents}
    (await bank.put(f"/payments/{payment.number}", json=body)).raise_for_status()
    return order.cents


@orders.step
async def ask(order: Order, charge: int, ctx: StepContext, tx: Transaction) -> None:
    title = f"{order.pieces} x {order.item} for {order.customer}, {charge / 100:.2f} EUR"
    link = ctx.signal_url("approval", title=title)
    await write_mail(tx, ctx, "clerk", title, link)


async def call_back(payment: Payment, tx: Transaction) -> None:
    await tx.execute(
        "update shop.parcels set state = 'returned' where order_id = $1", payment.order_id
    )


# Whatever is shipped from here on is called back, also where the order never heard of its arrival.
@orders.step(after=[ask], undo=call_back)
async def decide(approval: Approval | None = Signal(timeout=timedelta(days=3))) -> str:
    if approval is None:
        raise CancelJob("nobody answered within three days")
    if not approval.granted:
        raise CancelJob(f"refused by {approval.by}: {approval.note}")
    return approval.by


@orders.step(after=[decide])
async def ship(order: Order, ctx: StepContext) -> JobHandle[Shipment]:
    return await ctx.submit(shipping, Parcel(str(ctx.job_id), order.item))


@orders.step
async def confirm(
    order: Order, charge: int, ship: Shipment, ctx: StepContext, tx: Transaction
) -> Receipt:
    await tx.execute("insert into shop.sales values ($1, $2)", ctx.job_id, charge)
    await write_mail(tx, ctx, order.customer, "it is there", f"parcel {ship.parcel}")
    return Receipt(ship.parcel, charge)


# --- the report of each night

reports = Pipeline("report", input=datetime, output=int)


@reports.schedule("0 3 * * *", timezone="Europe/Berlin")
def nightly(slot: datetime) -> datetime:
    return slot


@reports.step
async def add_up(until: datetime, tx: Transaction) -> int:
    cents: int = await tx.fetchval(
        "insert into shop.reports"
        " select $1, count(*), coalesce(sum(cents), 0) from shop.sales"
        " where sold_at >= $1::timestamptz - interval '1 day' and sold_at < $1 returning cents",
        until,
    )
    return cents


app = Headrace(pipelines=[orders, shipping, reports])
