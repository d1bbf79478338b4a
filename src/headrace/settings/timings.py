"""The worker's durations, as the settings say them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from headrace.worker.timing import Timing

if TYPE_CHECKING:
    from headrace.settings.model import Settings


def timing_of(settings: Settings) -> Timing:
    """A worker's durations; those that follow from the lease keep their share."""
    lease, heartbeat = timedelta(seconds=settings.lease_s), timedelta(seconds=settings.heartbeat_s)
    usual = Timing()
    return Timing(
        lease=lease,
        heartbeat=heartbeat,
        presence_grace=heartbeat + (usual.presence_grace - usual.heartbeat),
        fence_no_new=lease * (usual.fence_no_new / usual.lease),
        fence_cancel=lease * (usual.fence_cancel / usual.lease),
        poll=timedelta(seconds=settings.poll_interval_s),
        poll_error=timedelta(seconds=settings.poll_error_interval_s),
        sweep=timedelta(seconds=settings.sweep_interval_s),
        janitor_lease=timedelta(seconds=settings.sweep_interval_s),
        shutdown_grace=timedelta(seconds=settings.shutdown_grace_s),
        cancel_kill=timedelta(seconds=settings.cancel_kill_s),
    )
