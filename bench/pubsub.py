"""The work about the doorbell by Pub/Sub: submit to start through a server on this machine."""

import dataclasses
from collections.abc import Mapping

from bench.lab import Lab
from bench.subjects import Subject
from bench.throughput import percentile, start_waits
from headrace.broker.access import Access
from headrace.broker.setup import set_up
from headrace.broker.topology import Names, topology
from headrace.testing import PubSubServer


async def pubsub(lab: Lab, subject: Subject) -> Mapping[str, float]:
    """As `start`, by rings of Pub/Sub; polling is so rare that it starts nothing."""
    with PubSubServer() as server:
        await set_up(Access(server.project, server.address), topology(Names()))
        environment = {
            **subject.environment,
            "HEADRACE_DOORBELL": "pubsub",
            "HEADRACE_POLL_INTERVAL_S": "300",
            "PUBSUB_EMULATOR_HOST": server.address,
        }
        waits = await start_waits(lab, dataclasses.replace(subject, environment=environment))
    return {"pubsub_p50": percentile(waits, 0.5), "pubsub_p95": percentile(waits, 0.95)}
