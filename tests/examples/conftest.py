import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import pytest

from headrace.testing import Engine

EXAMPLE: Final = Path(__file__).parent.parent.parent / "examples" / "order"
sys.path.insert(0, str(EXAMPLE))  # as where it is run

import shop  # noqa: E402
from bank import Bank  # noqa: E402


@pytest.fixture
def bank(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bank]:
    """The bank, and all else that the shop is told by its environment, in processes too."""
    with Bank() as opened:
        for name, value in {
            "PYTHONPATH": str(EXAMPLE),
            "SHOP_BANK": opened.address,
            "HEADRACE_SIGNING_KEYS": "a-secret-of-the-tests-that-is-long-enough",
            "HEADRACE_PUBLIC_URL": "https://shop.example",
        }.items():
            monkeypatch.setenv(name, value)
        yield opened


@pytest.fixture
async def engine(bank: Bank) -> AsyncIterator[Engine]:  # noqa: ARG001 - settings come from it
    async with Engine([shop.orders, shop.shipping, shop.reports]) as opened:
        yield opened
