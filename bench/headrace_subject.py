"""headrace through its public names only; its worker is the command `headrace worker`."""

from datetime import UTC, datetime, timedelta
from typing import Final

from bench.headrace_app import Item, everything, nobody, noop, sleep, steps
from bench.protocol import HIGH_PRIORITY, LATER_S, NORMAL_PRIORITY, PAD, SOON_S, Adapter, main

PIPELINES: Final = {
    "noop": noop,
    "steps": steps,
    "sleep": sleep,
    "other": sleep,
    "soon": noop,
    "later": noop,
    "nobody": nobody,
}
TENANTS: Final = {"other": "other"}
DELAYS: Final = {"soon": timedelta(seconds=SOON_S), "later": timedelta(seconds=LATER_S)}


class HeadraceAdapter(Adapter):
    """headrace's answers."""

    async def setup(self) -> None:
        """What `headrace migrate` does."""
        await everything.migrate()

    async def open(self) -> None:
        """Connect."""
        await everything.open()

    async def close(self) -> None:
        """Disconnect."""
        await everything.close()

    async def many(self, kind: str, numbers: range) -> None:
        """Submit a list of jobs."""
        delay = DELAYS.get(kind)
        await everything.submit_many(
            PIPELINES[kind],
            [Item(number, PAD) for number in numbers],
            priority=HIGH_PRIORITY if kind == "soon" else NORMAL_PRIORITY,
            due=None if delay is None else datetime.now(UTC) + delay,
            tenant=TENANTS.get(kind, "default"),
        )

    async def one(self, kind: str, number: int) -> None:
        """Submit one job."""
        await everything.submit(PIPELINES[kind], Item(number, PAD))


if __name__ == "__main__":
    main(HeadraceAdapter())
