"""`python -m bench`: measure headrace, PgQueuer and the floor side by side."""

import argparse
import asyncio
import dataclasses
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.errors import BenchError
from bench.figures import OURS, Figures
from bench.lab import Lab
from bench.machine import facts
from bench.measure import measure, set_up
from bench.plan import NAMES, USUAL, plan
from bench.profiling import profile, summary
from bench.server import server
from bench.sizes import FULL, QUICK, Sizes
from bench.subjects import ROOT, SUBJECTS
from bench.table import record, table

RESULTS = ROOT / "bench" / "results"


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="fewer rounds and smaller tables: two minutes")
    add(
        "--only",
        action="append",
        choices=NAMES,
        help="one work (again for more; default: all but soak)",
    )
    add(
        "--subject",
        action="append",
        choices=[s.name for s in SUBJECTS],
        help="one subject (again for more)",
    )
    add("--rounds", type=int, help="rounds of the throughput and latency works")
    add("--database", metavar="URL", help="a PostgreSQL to use in place of the embedded one")
    add("--json", type=Path, metavar="FILE", help="where the record goes (default: bench/results)")
    add(
        "--profile",
        action="store_true",
        help="only sample a draining worker (headrace, or --subject)",
    )
    return parser.parse_args()


async def bench(options: argparse.Namespace, console: Console) -> None:
    """Measure, show the table, write the record.

    Raises:
        BenchError: There is no server, or nothing could be set up.
    """
    sizes = QUICK if options.quick else FULL
    sizes = dataclasses.replace(sizes, rounds=options.rounds or sizes.rounds)
    asked = options.subject or ([OURS] if options.profile else [s.name for s in SUBJECTS])
    subjects = [subject for subject in SUBJECTS if subject.name in asked]
    async with server(options.database) as postgres:
        lab = Lab(postgres, sizes)
        try:
            left_out = await set_up(lab, subjects, console)
            ready = [subject for subject in subjects if subject.name not in left_out]
            if not ready:
                raise BenchError("no subject could be set up")
            if options.profile:
                console.print(summary(await profile(lab, ready[0])))
                return
            facts_ = {"machine": facts(), "postgresql": await postgres.settings()}
            await postgres.warm_up()
            groups = list(plan(ready, sizes, options.only or USUAL))
            figures = await measure(lab, groups, console)
        finally:
            await lab.clear()
    figures.left_out = left_out
    names = [subject.name for subject in subjects]
    _show(figures, names, sizes, facts_, console)
    file = options.json or RESULTS / f"{datetime.now(UTC):%Y-%m-%dT%H%M%S}.json"
    _write(file, {**facts_, "sizes": _plain(sizes), "rows": record(figures, names)})
    console.print(f"[dim]record: {file}[/]")


def _show(
    figures: Figures,
    subjects: list[str],
    sizes: Sizes,
    facts_: dict[str, dict[str, str]],
    console: Console,
) -> None:
    crowd = f"a crowded table holds {sizes.crowd:,} jobs of each sort"
    console.print(table(figures, subjects, f"{sizes.rounds} rounds; {crowd}"))
    for title, values in facts_.items():
        console.print(f"[dim]{title}: " + ", ".join(f"{k} {v}" for k, v in values.items()) + "[/]")


def _plain(sizes: Sizes) -> dict[str, Any]:
    return dataclasses.asdict(sizes) | {"recoveries": sorted(sizes.recoveries)}


def _write(file: Path, value: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value, indent=2) + "\n")


def main() -> int:
    """Run the benchmark; exit code 1 says that it could not be run, not that targets are missed."""
    console = Console(highlight=False)
    try:
        asyncio.run(bench(options(), console))
    except BenchError as error:
        console.print(f"[red]{error}[/]")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
