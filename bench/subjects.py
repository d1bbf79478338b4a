"""The three subjects: where they live, how their worker starts, what counts as durably done."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.protocol import STEPS

ROOT: Final = Path(__file__).resolve().parent.parent
HOME: Final = ROOT / ".bench"


@dataclass(frozen=True, slots=True)
class Subject:
    """One thing that is measured."""

    name: str
    module: str
    """Answers setup, submit and submit1 (and worker, unless `worker` names another command)."""
    requirements: tuple[str, ...]
    """What its own environment holds; none: it runs in the harness's environment."""
    kinds: frozenset[str]
    """Kinds of jobs that it has."""
    done_sql: str
    """Counts the durably finished units of work."""
    units: Mapping[str, int] = field(default_factory=dict)
    """Units that `done_sql` shows per job of a kind, where that is not 1."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Settings that it is run with."""
    worker: tuple[str, ...] = ()
    """Arguments of python that start a worker; {concurrency} is filled in."""
    imports: str = "pass"
    """The statement timed as its import."""
    help: tuple[str, ...] = ("-c", "pass")
    """Arguments of python that print its help."""

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        return HOME / self.name / "bin" / "python" if self.requirements else Path(sys.executable)

    def units_of(self, kind: str, jobs: int) -> int:
        """What `done_sql` shows when so many jobs are done."""
        return jobs * self.units.get(kind, 1)

    def worker_arguments(self, kind: str, concurrency: int) -> list[str]:
        """Arguments of python that start one worker for jobs of a kind."""
        own = [word.format(concurrency=concurrency) for word in self.worker]
        return own or ["-m", self.module, "worker", kind]


FLOOR: Final = Subject(
    name="floor",
    module="bench.floor",
    requirements=("asyncpg==0.32.0", "uvloop==0.23.0"),
    kinds=frozenset({"noop", "steps", "documents"}),
    done_sql="select count(*) from job where state = 2",
)

PGQUEUER: Final = Subject(
    name="pgqueuer",
    module="bench.pgqueuer_subject",
    requirements=("pgqueuer[asyncpg]==1.6.0", "asyncpg==0.32.0", "uvloop==0.23.0"),
    kinds=frozenset({"noop", "steps", "sleep", "soon", "later", "nobody"}),
    done_sql="select count(*) from pgqueuer_log where status = 'successful'",
    units={"steps": STEPS},
    imports="import pgqueuer",
    help=("-m", "pgqueuer", "--help"),
)

HEADRACE: Final = Subject(
    name="headrace",
    module="bench.headrace_subject",
    requirements=(),
    kinds=frozenset({"noop", "steps", "sleep", "other", "soon", "later", "nobody", "documents"}),
    done_sql="select count(*) from headrace.jobs where state = 'completed'",
    # As PgQueuer and the floor: no line for each job (at INFO two lines of 7 us each).
    environment={"HEADRACE_LOG_LEVEL": "WARNING", "HEADRACE_CLAIM_BATCH": "500"},
    worker=(
        "-m",
        "headrace",
        "worker",
        "bench.headrace_app:worker",
        "--no-supervisor",
        "--concurrency",
        "{concurrency}",
    ),
    imports="import headrace",
    help=("-m", "headrace", "--help"),
)

SUBJECTS: Final = (FLOOR, PGQUEUER, HEADRACE)
