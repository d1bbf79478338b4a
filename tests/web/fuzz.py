"""`python -m tests.web.fuzz`: thousands of made-up requests to each operation of the API."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
from contextlib import contextmanager

from rich.console import Console

from headrace.web.app import create_api
from tests.conftest import embedded_server
from tests.web.fuzzing import fuzz
from tests.web.test_openapi import target


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.web.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=2_000, help="requests to each operation")
    parser.add_argument("--group", help="one group, as `jobs` (default: all)")
    parser.add_argument("--seed", type=int, help="repeats the requests of another run")
    return parser.parse_args()


async def run(server: str, given: argparse.Namespace) -> int:
    """Try it; the number of operations that answered wrongly."""
    number = random.SystemRandom().randrange(2**32) if given.seed is None else given.seed
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(f"seed {number}")
    async with target(server) as (api, aim):
        document = create_api(api.engine.app).openapi()

        def ask() -> int:
            wrong = 0
            for one in fuzz(document, aim, cases=given.cases, number=number, tag=given.group):
                statuses = ", ".join(f"{key}: {one.statuses[key]}" for key in sorted(one.statuses))
                console.print(f"{one.operation:<45} {statuses}")
                if one.finding:
                    wrong += 1
                    console.print(one.finding)
            return wrong

        return await asyncio.to_thread(ask)


def main() -> int:
    """Exit code 1 says that something was answered that the document does not tell."""
    with contextmanager(embedded_server)() as server:
        return min(asyncio.run(run(server, options())), 1)


if __name__ == "__main__":
    sys.exit(main())
