"""`python -m tests.web.fuzz`: thousands of made-up requests to each group of routes."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
from collections import Counter
from contextlib import contextmanager
from math import ceil

from rich.console import Console

from tests.conftest import embedded_server
from tests.web.fuzzing import Target, fuzz
from tests.web.test_openapi import target
from tests.web.whole import DOCUMENTED, OPERATIONS

GROUPS = Counter(operation.tag for operation in OPERATIONS)
"""How many operations each has."""
CONSOLE = Console(highlight=False, markup=False, soft_wrap=True)


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.web.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=2_000, help="requests to each group")
    parser.add_argument("--group", choices=GROUPS, help="one group (default: all)")
    parser.add_argument("--seed", type=int, help="repeats the requests of another run")
    return parser.parse_args()


async def run(server: str, given: argparse.Namespace) -> int:
    """Try it, each group on a database of its own; the number of operations that answered wrongly.

    Args:
        server: One that has pgvector.
        given: The command line.
    """
    number = random.SystemRandom().randrange(2**32) if given.seed is None else given.seed
    CONSOLE.print(f"seed {number}")
    wrong = 0
    for group in [given.group] if given.group else GROUPS:
        async with target(server) as (_, aim):
            wrong += await asyncio.to_thread(ask, aim, group, given.cases, number)
    return wrong


def ask(aim: Target, group: str, cases: int, number: int) -> int:
    """Try one group, and tell what came of it."""
    wrong = 0
    share = ceil(cases / GROUPS[group])
    for one in fuzz(DOCUMENTED.openapi(), aim, cases=share, number=number, tag=group):
        statuses = ", ".join(f"{key}: {one.statuses[key]}" for key in sorted(one.statuses))
        CONSOLE.print(f"{one.operation:<45} {statuses}")
        if one.finding:
            wrong += 1
            CONSOLE.print(one.finding)
    return wrong


def main() -> int:
    """Exit code 1 says that something was answered that the document does not tell."""
    with contextmanager(embedded_server)() as server:
        return min(asyncio.run(run(server, options())), 1)


if __name__ == "__main__":
    sys.exit(main())
