"""How much of each work is done: the full sizes are the definition, quick ones fit two minutes."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Sizes:
    """Numbers of one mode; jobs unless said otherwise."""

    rounds: int
    """Interleaved rounds; a median of an odd number is a run that took place."""
    drain: int
    """Single-step jobs submitted and drained."""
    steps: int
    """Five-step jobs."""
    steps_slow: int
    """Five-step jobs for a subject that chains jobs: it is 50 times slower."""
    start: int
    """Jobs submitted one by one to an idle worker."""
    single: int
    """Awaited single submissions."""
    crowd: int
    """Jobs of each sort in the crowded table: due, future, of a pipeline that nobody carries."""
    window: int
    """Starts over which the crowded and the small table's rates are compared."""
    crowd_rounds: int
    """Rounds of the crowded table: loading is nearly all of its time."""
    launches: int
    """Processes started to time an import or `--help`."""
    documents: int
    """Files ingested by the pipeline `documents`; some dozen chunks each."""
    document_rounds: int
    """Rounds of that work: one long run says more than short ones, of which start and end weigh."""
    backlog: int
    """Jobs of a large tenant that wait while a small one submits some."""
    fairness: int
    """Times that it does."""
    http_pairs: int
    """Loads of the API, each beside one of an empty route."""
    recoveries: frozenset[tuple[str, str]]
    """(subject, way of dying) pairs of the recovery work; they only wait, so all run at once."""


SUBMIT_BATCH: Final = 1_000  # as the target says: bulks of 1,000
START_GAP_MS: Final = 20.0  # the worker is idle again well before the next job
WARM_UP: Final = 5  # first jobs of an idle worker are not timed: statements are prepared in them
RECOVERY_JOBS: Final = 50
KILL_AFTER_S: Final = 1.0  # in the middle of a two-second job
IN_FLIGHT: Final = 1_000
IN_FLIGHT_SLEEP_S: Final = 20.0  # the last of 1,000 starts long before the first ends
CONCURRENCY: Final = 1_000  # the most that a worker takes; PgQueuer is given its best batch
HTTP_CLIENTS: Final = 64
HTTP_LOAD_S: Final = 2.0
HTTP_WARM_UP_S: Final = 1.0
TURN_OVER_S: Final = 0.1  # for so long a job of the large tenant holds its slot
SOAK_JOBS: Final = 1_000_000
SOAK_FROM: Final = 100_000  # by now every cache and pool has its size

# The floor drains 20,000 jobs in a quarter of a second and 2,000 five-step jobs in 60 ms, where the
# first batch still weighs; so the full sizes are larger.
FULL: Final = Sizes(
    rounds=5,
    drain=50_000,
    steps=10_000,
    steps_slow=500,
    start=300,
    single=2_000,
    crowd=200_000,
    window=10_000,
    crowd_rounds=1,
    launches=15,
    documents=150,
    document_rounds=1,
    backlog=100_000,
    fairness=30,
    http_pairs=9,
    recoveries=frozenset(
        (subject, way) for subject in ("pgqueuer", "headrace") for way in ("kill", "frozen")
    ),
)

# PgQueuer's recovery and all frozen workers take over 30 s by their leases, so they are left out.
QUICK: Final = Sizes(
    rounds=3,
    drain=20_000,
    steps=4_000,
    steps_slow=200,
    start=150,
    single=1_000,
    crowd=20_000,
    window=5_000,
    crowd_rounds=1,
    launches=5,
    documents=45,
    document_rounds=1,
    backlog=20_000,
    fairness=10,
    http_pairs=5,
    recoveries=frozenset({("headrace", "kill")}),
)
