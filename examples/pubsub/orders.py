"""The app of the example: an order is priced, item by item, and summed up."""

from dataclasses import dataclass

from headrace import Each, Headrace, Pipeline


@dataclass
class Order:
    customer: str
    items: list[str]


@dataclass
class Invoice:
    customer: str
    cents: int


orders = Pipeline("orders", input=Order, output=Invoice, inline_output=True)


@orders.step
async def items(order: Order) -> list[str]:
    return order.items


@orders.step
async def price(item: str = Each(items)) -> int:
    return 100 * len(item)


@orders.step
async def invoice(order: Order, price: list[int]) -> Invoice:
    return Invoice(order.customer, sum(price))


app = Headrace(pipelines=[orders])
