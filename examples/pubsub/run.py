"""Orders by HTTP and by message, two workers, and their results on a topic.

python examples/pubsub/run.py [--jobs 10000]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path

from google.cloud import pubsub_v1
from stage import Stage, free_ports

from headrace import RemoteClient, compose_message
from headrace.testing import PubSubServer

PROJECT = "emulator-project"
AT_ONCE = 32
LIMIT_S = 900.0
SETTLE_S = 2.0


class Results:
    """What comes from the topic of results."""

    def __init__(self) -> None:
        self.events: dict[str, str] = {}
        self.statuses: Counter[str] = Counter()
        self.again = 0

    def take(self, message: pubsub_v1.subscriber.message.Message) -> None:
        """Note an event, once."""
        told = json.loads(message.data)
        if told["event_id"] in self.events:
            self.again += 1
        else:
            self.events[told["event_id"]] = told["job_id"]
            self.statuses[told["status"]] += 1
        message.ack()


def order(number: int) -> dict[str, object]:
    """The input of a job."""
    return {"customer": f"customer {number}", "items": ["flour", "bran"][: 1 + number % 2]}


async def submit_by_http(address: str, token: str, jobs: int) -> None:
    """Submit half of the jobs to the API, some at a time."""
    room = asyncio.Semaphore(AT_ONCE)
    async with RemoteClient(address, token=token) as client:

        async def submit(number: int) -> None:
            async with room:
                await client.submit("orders", order(number))

        await asyncio.gather(*(submit(number) for number in range(jobs)))


def submit_by_message(source: str, secret: str, jobs: int) -> None:
    """Publish the other half, signed."""
    publisher = pubsub_v1.PublisherClient()
    topic = publisher.topic_path(PROJECT, "headrace-jobs")
    sent = []
    for number in range(jobs):
        message = compose_message(
            "orders", order(number), source=source, secret=secret, id=f"order-{number}"
        )
        sent.append(publisher.publish(topic, message.data, **message.attributes))
    for future in sent:
        future.result()


def collect(results: Results) -> pubsub_v1.subscriber.futures.StreamingPullFuture:
    """Take results as they come."""
    subscriber = pubsub_v1.SubscriberClient()
    path = subscriber.subscription_path(PROJECT, "headrace-results-sub")
    return subscriber.subscribe(path, results.take)


def wait_for(results: Results, jobs: int) -> None:
    """Wait until every job has its result."""
    give_up_at = time.monotonic() + LIMIT_S
    while len(results.events) < jobs:
        if time.monotonic() > give_up_at:
            raise SystemExit(f"only {len(results.events):,} of {jobs:,} results in {LIMIT_S:g} s")
        time.sleep(0.2)


def start(stage: Stage) -> str:
    """Start the API and the workers; the address of the API."""
    ports = free_ports(3)
    api = stage.start("api", "api", "orders:app", port=ports[0], HEADRACE_PORT=str(ports[0]))
    for name, port in zip(("worker-1", "worker-2"), ports[1:], strict=True):
        stage.start(name, "worker", "orders:app", "--no-supervisor", "--port", str(port), port=port)
    return api


def play(stage: Stage, jobs: int) -> None:
    """Submit all jobs, and check what comes back."""
    tenant = source = f"example-{secrets.token_hex(4)}"
    stage.ask("migrate", "--app", "orders:app")
    stage.ask("pubsub", "setup", "--publish")
    secret = stage.ask("sources", "create", source, "--tenant", tenant, "--pipelines", "orders")
    token = stage.ask("api-keys", "create", "--tenant", tenant, "--owner", "shop")
    api = start(stage)
    print(f"an API and two workers are ready; their logs are in {stage.logs}")
    results = Results()
    stream = collect(results)
    began = time.monotonic()
    by_message = jobs // 2
    asyncio.run(submit_by_http(api, token, jobs - by_message))
    print(f"{jobs - by_message:,} submitted by HTTP, {time.monotonic() - began:.1f} s")
    submit_by_message(source, secret, by_message)
    print(f"{by_message:,} submitted by message, {time.monotonic() - began:.1f} s")
    wait_for(results, jobs)
    took_s = time.monotonic() - began
    time.sleep(SETTLE_S)  # what is sent twice would come now
    stream.cancel()
    stream.result()
    of_jobs = Counter(results.events.values())
    print(f"{len(of_jobs):,} jobs ended, {took_s:.1f} s: {dict(results.statuses)}")
    print(f"{len(results.events):,} results, {results.again} of them delivered again")
    if dict(results.statuses) != {"success": jobs} or set(of_jobs.values()) != {1}:
        raise SystemExit("example failed: not every job has one result")
    print(f"example ok: jobs={jobs} results={len(results.events)}")


def main() -> None:
    """Run the example on the embedded database of its folder."""
    parser = argparse.ArgumentParser(description="Orders by HTTP and by message, with Pub/Sub.")
    parser.add_argument("--jobs", type=int, default=10_000, help="10,000 unless given")
    jobs = parser.parse_args().jobs
    logs = Path(tempfile.mkdtemp(prefix="headrace-example-"))
    with PubSubServer() as server:
        os.environ.update(server.environment)
        stage = Stage(logs, server.environment)
        try:
            play(stage, jobs)
        finally:
            stage.stop()
    shutil.rmtree(logs)


if __name__ == "__main__":
    main()
