"""Every duration by which a worker lives, as one value."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The durations of leases, checks, waits and back-offs.

    Raises:
        ValueError: A duration is not positive, or two of them contradict each other: with such
            values a living worker could be taken for dead.
    """

    # The lease of a worker, which covers all its jobs.
    lease: timedelta = timedelta(seconds=30)
    """A worker that does not renew for so long may be declared lost."""
    heartbeat: timedelta = timedelta(seconds=3)
    """Between two renewals; a third of the lease at most, so that two may be lost."""
    presence_grace: timedelta = timedelta(seconds=5)
    """A free session lock means death once the last heartbeat is older than this."""
    fence_no_new: timedelta = timedelta(seconds=20)
    """Without a renewal for so long, a worker starts no new step."""
    fence_cancel: timedelta = timedelta(seconds=30)
    """Without a renewal for so long, a worker cancels running steps; never after the lease."""
    watchdog: timedelta = timedelta(seconds=60)
    """A main loop that stands still for so long ends its process."""

    # How often somebody looks.
    reap: timedelta = timedelta(seconds=1)
    """Between two looks for dead workers, with jitter."""
    reconcile: timedelta = timedelta(seconds=10)
    """Between two comparisons of the jobs that the database gives a worker with those it holds."""
    poll: timedelta = timedelta(seconds=5)
    """The longest sleep of an idle claimer, should a ring be lost."""
    poll_error: timedelta = timedelta(seconds=10)
    """The longest sleep of a claimer after an error other than the loss of the database."""
    silence: timedelta = timedelta(seconds=60)
    """A stream of rings that brings none for so long, while there is work, is opened again."""
    ring_again: timedelta = timedelta(seconds=60)
    """Work that nobody took for so long after a ring is rung for again; then after twice that."""
    ring_again_most: timedelta = timedelta(minutes=15)
    """The longest time between two such rings."""
    sweep: timedelta = timedelta(seconds=10)
    """Between two sweeps: cancelled jobs settled, expired records removed."""
    salvage: timedelta = timedelta(seconds=60)
    """Between two looks for messages that Pub/Sub gave up delivering."""
    relay: timedelta = timedelta(seconds=1)
    """Between two looks for events that are due to leave."""
    janitor_lease: timedelta = timedelta(seconds=10)
    """For so long one worker alone does the janitor's work."""

    # The end of a worker, and of a step.
    shutdown_grace: timedelta = timedelta(seconds=30)
    """Running steps may go on for so long after SIGTERM."""
    release: timedelta = timedelta(seconds=2)
    """Handing jobs back after the grace takes no longer than this."""
    cancel_kill: timedelta = timedelta(seconds=5)
    """A step that ignores its cancellation for so long is abandoned, or its process killed."""
    transaction: timedelta = timedelta(seconds=30)
    """A step's transaction may stay open for so long after its first statement."""

    # Waits before a next try.
    suspect_first: timedelta = timedelta(seconds=5)
    """A suspect's wait after its first death."""
    suspect_next: timedelta = timedelta(seconds=30)
    """A suspect's wait after every further death."""
    reconnect_first: timedelta = timedelta(seconds=0.1)
    """The wait before the first reconnection to the database."""
    reconnect_most: timedelta = timedelta(seconds=1)
    """The longest wait between two reconnections."""
    restart_first: timedelta = timedelta(seconds=0.5)
    """The wait before a failed service or worker process is started again for the first time."""
    restart_most: timedelta = timedelta(seconds=30)
    """The longest wait between two such starts."""

    # What happens at once, and what is written down.
    wait_in_place: timedelta = timedelta(seconds=1)
    """A longer wait before a retry gives the job's slot back."""
    progress_after: timedelta = timedelta(seconds=1)
    """A step that runs for longer is shown as running; also the least time between two updates."""

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        for field in fields(self):
            if getattr(self, field.name) <= timedelta():
                raise ValueError(f"{field.name} must be longer than zero")
        for wrong, rule in (
            (self.heartbeat * 3 > self.lease, "lease must be at least three heartbeats"),
            (self.presence_grace <= self.heartbeat, "presence_grace must exceed heartbeat"),
            (self.fence_no_new <= self.heartbeat, "fence_no_new must exceed heartbeat"),
            (self.fence_cancel < self.fence_no_new, "fence_cancel must not precede fence_no_new"),
            (self.fence_cancel > self.lease, "fence_cancel must not exceed lease"),
            (self.suspect_next < self.suspect_first, "suspect_next must not precede suspect_first"),
            (self.reconnect_most < self.reconnect_first, "reconnect_most is below reconnect_first"),
            (self.restart_most < self.restart_first, "restart_most is below restart_first"),
            (self.ring_again_most < self.ring_again, "ring_again_most is below ring_again"),
        ):
            if wrong:
                raise ValueError(rule)

    def scaled(self, factor: float) -> Timing:
        """Return the same life at another speed: 1 / 15 makes a lease of 30 s one of 2 s.

        Raises:
            ValueError: The factor is not positive.
        """
        return Timing(**{field.name: getattr(self, field.name) * factor for field in fields(self)})
