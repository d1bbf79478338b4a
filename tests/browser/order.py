"""examples/order, answered by a person in a real browser: Debian's chromium.

Run by `make test-system` alone, which installs the browser; it needs `requirements/browser.txt`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
from playwright.async_api import Page, async_playwright, expect

CHROMIUM: Final = "/usr/bin/chromium"
RUN: Final = Path(__file__).parent.parent.parent / "examples" / "order" / "run.py"
ANSWERS: Final = {"Ada": "Yes", "Ben": "No", "Cleo": "Yes"}


@contextlib.asynccontextmanager
async def browsing() -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"]
        )  # no sandbox: root has none
        try:
            yield await browser.new_page()
        finally:
            await browser.close()


async def answer(page: Page, url: str, customer: str) -> None:
    """Do what a person does who was sent the link."""
    await page.goto(url)
    await expect(page.get_by_role("heading", level=1)).to_contain_text(f"for {customer}")
    await page.get_by_role("radio", name=ANSWERS[customer], exact=True).check()
    await page.get_by_label("By").fill("a person")
    await page.get_by_role("button", name="Send answer").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Thank you")


@pytest.mark.timeout(180)
async def test_the_orders_are_approved_and_refused_in_a_browser(database: str, tmp_path: Path):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-u", RUN),
        cwd=tmp_path,
        env={
            **os.environ,
            "HEADRACE_DATABASE_URL": database,
            "HEADRACE_SIGNING_KEYS": "a-secret-of-the-tests-that-is-long-enough",
        },
        stdin=asyncio.subprocess.DEVNULL,
        stdout=PIPE,
        stderr=STDOUT,
    )
    assert process.stdout is not None
    lines: list[str] = []
    async with browsing() as page:
        async for line in process.stdout:
            lines.append(line.decode().rstrip())
            customer, _, url = lines[-1].partition(" ")
            if url.strip().startswith("http"):
                await answer(page, url.strip(), customer)
    assert await process.wait() == 0, "\n".join(lines)
    assert any("refused by a person" in line for line in lines)
    assert lines[-1] == "example ok: orders=3 completed=1 cancelled=2"
