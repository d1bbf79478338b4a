"""What a worker is made of: everything that outlives one of its identities."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from headrace.worker.arguments import Clients
from headrace.worker.engine import Limits
from headrace.worker.timing import Timing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures import ThreadPoolExecutor

    from headrace.broker.broker import Broker, Doorbell
    from headrace.client import Client
    from headrace.model.pipeline import Pipeline
    from headrace.reliability.hub import Hub
    from headrace.reliability.locks import Locks
    from headrace.store.outbox import Sender
    from headrace.store.pool import Pool
    from headrace.worker.engine import Artifacts
    from headrace.worker.intake import IntakeParts
    from headrace.worker.processes import StepProcesses


@dataclass(slots=True)
class Parts:
    """The parts of a worker, made by the app.

    Attributes:
        direct_dsn: Address of the database itself, not of a pooler before it.
        pool: Connections for everything but claims, ledger and presence.
        hub: Tells of changes that other processes make.
        locks: Those of the process.
        pipelines: What the worker carries, by name.
        queues: Which queues it serves.
        concurrency: Jobs at once, 1 to 1,000.
        claim_batch: Most jobs in one claim.
        listen: Whether it is woken by LISTEN; else it polls.
        broker: Rings where notifications of the database wake nobody; None where they do.
        doorbell: Brings rings from outside the database; None where none come.
        intake: What takes jobs that are submitted by message; None takes none.
        charges: Deaths charged to a step or item that fail its job.
        senders: What sends events that leave, by channel: `webhook`, `topic`.
        per_endpoint: Most events on their way to one endpoint of webhooks.
        head_start_s: Seconds by which one point of priority moves a job forward.
    """

    direct_dsn: str
    pool: Pool
    client: Client
    artifacts: Artifacts
    hub: Hub
    locks: Locks
    pipelines: Mapping[str, Pipeline[Any, Any]]
    threads: ThreadPoolExecutor
    version: str
    processes: StepProcesses | None = None
    queues: tuple[str, ...] = ("default",)
    concurrency: int = 10
    claim_batch: int = 100
    listen: bool = True
    broker: Broker | None = None
    doorbell: Doorbell | None = None
    intake: IntakeParts | None = None
    charges: int = 3
    head_start_s: float = 60.0
    job_timeout_s: float = 1_800.0
    timing: Timing = field(default_factory=Timing)
    limits: Limits = field(default_factory=Limits)
    clients: Clients = field(default_factory=Clients)
    retention: Any = None
    senders: Mapping[str, Sender] = field(default_factory=dict)
    per_endpoint: int = 4

    @property
    def doorbell_name(self) -> str:
        """What wakes the worker, beside polling, as the setting has it."""
        if self.doorbell is not None:
            return self.doorbell.name
        return "listen" if self.listen else "poll"
