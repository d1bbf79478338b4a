"""Links in a real browser: Debian's chromium, without scripts in the page.

Run by `make test-system` alone, which installs the browser; it needs `requirements/browser.txt`.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from datetime import date, timedelta
from typing import Annotated, Literal

from playwright.async_api import Page, async_playwright, expect
from pydantic import BaseModel, Field

from headrace import JobHandle, Pipeline, Signal, StepContext
from headrace.testing import Engine
from tests.waiting import eventually
from tests.web.asking_people import SIGNING, output_of, path_of
from tests.web.serving import serve

CHROMIUM = "/usr/bin/chromium"
TITLE = "Order 17: 420 EUR"


class Address(BaseModel):
    street: Annotated[str, Field(max_length=80)]
    city: Annotated[str, Field(max_length=80)]


class Approval(BaseModel):
    """It is shipped as soon as you approve it."""

    decision: Literal["approve", "reject", "needs_changes"]
    pieces: Annotated[int, Field(ge=1, le=20)] = 1
    ship_by: date | None = None
    tags: set[Literal["fragile", "gift"]] = set()
    comment: str = ""
    address: Address | None = None


order = Pipeline("order", input=int, output=Approval)


@order.step
async def ask(number: int, ctx: StepContext) -> str:
    return ctx.signal_url("approval", title=TITLE, text=f"{number} sluice gates & a mill.")


@order.step
async def decide(ask: str, approval: Approval = Signal(timeout=timedelta(days=3))) -> Approval:
    assert ask
    return approval


class Visit:
    """A page of the browser, and the job whose link it opens."""

    def __init__(self, page: Page, job: JobHandle[Approval], url: str) -> None:
        self.page, self.job, self.url = page, job, url
        self.complaints: list[str] = []
        """Of the browser: what the policy forbids, what failed."""
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    async def open(self) -> None:
        await self.page.goto(self.url)

    async def send(self) -> None:
        await self.page.get_by_role("button", name="Send answer").click()


@contextlib.asynccontextmanager
async def visit(server: str, **look: object) -> AsyncIterator[Visit]:
    """A job that waits, with a served API and a worker, and a browser that is not there yet."""
    engine = Engine([order], server=server, settings=SIGNING)
    async with contextlib.AsyncExitStack() as exits:
        await exits.enter_async_context(engine)
        api = await exits.enter_async_context(serve(engine))
        await exits.enter_async_context(engine.worker())
        job = await engine.submit(order, 3)

        async def waits() -> bool:
            return (await job.status()).wait_reason == "external"

        await eventually(waits)
        playwright = await exits.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"]
        )  # no sandbox: root has none
        exits.push_async_callback(browser.close)
        context = await browser.new_context(java_script_enabled=False, **look)  # type: ignore[arg-type]
        url = api.url + path_of(await output_of(engine, job.id, "ask"))
        yield Visit(await context.new_page(), job, url)


class TestAPersonWithALink:
    async def test_fills_in_the_form_and_the_job_goes_on(self, database_server: str):
        async with visit(database_server) as one:
            page = one.page
            await one.open()
            await expect(page.get_by_role("heading", level=1)).to_have_text(TITLE)
            await expect(page.get_by_text("3 sluice gates & a mill.")).to_be_visible()
            await expect(page.get_by_label("Street")).to_be_hidden()
            # What is wrong is told, and what was typed stays.
            await page.get_by_label("Pieces").fill("50")
            await page.get_by_label("Comment").fill("Mind the dog.")
            await one.send()
            await expect(page.get_by_role("alert")).to_contain_text(
                "Decision: Choose one of these."
            )
            await expect(page.get_by_label("Comment")).to_have_value("Mind the dog.")
            await page.get_by_label("Approve").check()
            await one.send()
            await expect(page.get_by_role("alert")).to_contain_text("less than or equal to 20")
            await expect(page.get_by_label("Approve")).to_be_checked()
            await page.get_by_label("Pieces").fill("5")
            await page.get_by_label("Ship by").fill("2027-05-01")
            await page.get_by_label("Gift").check()
            await page.get_by_label("Fill this in").check()
            await page.get_by_label("Street").fill("Mill Lane 1")
            await page.get_by_label("City").fill("Lade")
            await one.send()
            await expect(page.get_by_role("heading", level=1)).to_have_text("Thank you")
            assert page.url == f"{one.url}/answered"
            assert await one.job.result(timeout=20) == Approval(
                decision="approve",
                pieces=5,
                ship_by=date(2027, 5, 1),
                tags={"gift"},
                comment="Mind the dog.",
                address=Address(street="Mill Lane 1", city="Lade"),
            )
            await one.open()
            await expect(page.get_by_role("heading", level=1)).to_have_text("Already answered")
            assert [text for text in one.complaints if "status of 4" not in text] == []

    async def test_needs_no_mouse_and_no_wide_screen(self, database_server: str):
        async with visit(database_server, viewport={"width": 320, "height": 600}) as one:
            page = one.page
            await one.open()
            wide = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
            await page.keyboard.press("Tab")
            await page.keyboard.press("Space")
            await expect(page.get_by_label("Approve")).to_be_checked()
            await page.keyboard.press("ArrowDown")
            await expect(page.get_by_label("Reject")).to_be_checked()
            assert await page.evaluate(wide)
            await page.get_by_label("Pieces").press("Enter")
            await expect(page.get_by_role("heading", level=1)).to_have_text("Thank you")
            assert (await one.job.result(timeout=20)).decision == "reject"
