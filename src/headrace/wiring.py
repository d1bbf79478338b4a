"""Parts of an application as its settings want them; what they need is imported when it is."""

from __future__ import annotations

import asyncio
import os
import signal
from datetime import timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from headrace import __version__
from headrace.broker.access import EMULATOR_PROJECT, Access
from headrace.broker.topology import Names, Push
from headrace.client.links import Links
from headrace.errors import Problem, SettingsError
from headrace.store.retention import RetentionRules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from headrace.app import Headrace
    from headrace.broker.messaging import Messaging
    from headrace.broker.setup import Found
    from headrace.inbox.inbox import Inbox
    from headrace.model.pipeline import Pipeline
    from headrace.settings import Settings
    from headrace.store.breakers import Rules
    from headrace.store.outbox import Sender
    from headrace.worker.engine import Limits
    from headrace.worker.intake import IntakeParts
    from headrace.worker.processes import StepProcesses
    from headrace.worker.timing import Timing


EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 - an address to listen at, not to go to


def step_processes(
    pipelines: Mapping[str, Pipeline[Any, Any]],
    reference: str | None,
    timing: Timing,
    jobs_at_once: int,
) -> StepProcesses | None:
    """The processes of steps that ask for one; None where none does."""
    steps = (step for pipeline in pipelines.values() for step in pipeline.steps.values())
    if not any(step.runs_in == "process" for step in steps):
        return None
    from headrace.worker.processes import StepProcesses  # noqa: PLC0415

    # What runs in a process computes: more of them than processors would only share them.
    most = min(jobs_at_once, os.cpu_count() or 1)
    return StepProcesses(reference, pipelines, timing=timing, most=most)


def senders_for(
    keys: Sequence[bytes], settings: Settings, messaging: Callable[[], Messaging]
) -> dict[str, Sender]:
    """What sends events that leave, by channel: none for what nothing is known of.

    Args:
        keys: The master keys of signatures.
        settings: Those that hold.
        messaging: Gives what the process has to do with Pub/Sub.
    """
    from headrace.worker.webhooks import webhook_senders  # noqa: PLC0415

    found = webhook_senders(keys, settings.webhook_private_hosts, __version__)
    if (settings.pubsub_project or settings.pubsub_emulator_host) and _has_pubsub():
        found["topic"] = messaging().sender
    return found


def _has_pubsub() -> bool:
    try:
        return find_spec("google.cloud.pubsub_v1") is not None
    except ModuleNotFoundError:  # not even the package around it
        return False


async def set_up_messaging(
    settings: Settings,
    *,
    check: bool = False,
    filtered: bool = False,
    push: tuple[str, str, str] | None = None,
) -> list[Found]:
    """Make the topics and subscriptions of the settings, or only look at them.

    Args:
        settings: Which name them.
        check: Change nothing.
        filtered: Two subscriptions for workers in place of one.
        push: Address, account and audience of a subscription that sends requests.

    Raises:
        SettingsError: There is no project, or `headrace[pubsub]` is not installed.
        BrokerUnavailableError: Pub/Sub does not answer, or does not permit it.
    """
    messaging = messaging_of(settings)
    pushed = None if push is None else Push(*push)
    filtered = filtered or settings.inbox == "own"
    return await messaging.set_up(check=check, filtered=filtered, push=pushed)


def messaging_of(settings: Settings) -> Messaging:
    """What a process has to do with Pub/Sub.

    Raises:
        SettingsError: There is no project, or `headrace[pubsub]` is not installed.
    """
    project = settings.pubsub_project or (settings.pubsub_emulator_host and EMULATOR_PROJECT)
    if project is None:
        problem = "needed for Pub/Sub; set it, or PUBSUB_EMULATOR_HOST to the host:port of one"
        raise SettingsError([Problem("HEADRACE_PUBSUB_PROJECT", problem)])
    # Read when gRPC is imported: what it notes on the standard error is no line of a log.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    try:
        from headrace.broker.messaging import Messaging  # noqa: PLC0415 - it costs 0.7 s
    except ModuleNotFoundError as error:
        problem = f"needs {error.name}: pip install 'headrace[pubsub]'"
        raise SettingsError([Problem("HEADRACE_DOORBELL", problem)]) from None
    names = Names(
        jobs=settings.pubsub_jobs_topic,
        results=settings.pubsub_results_topic,
        dead_letters=settings.pubsub_dead_letters_topic,
        undeliverable=settings.pubsub_undeliverable_topic,
        subscription=settings.pubsub_subscription,
        ack_deadline=timedelta(seconds=settings.pubsub_ack_deadline_s),
    )
    access = Access(project, settings.pubsub_emulator_host, settings.pubsub_credentials_file)
    return Messaging(
        access,
        names,
        most_bytes=settings.flow_max_bytes,
        jobs_per_ring=settings.pubsub_jobs_per_ring,
        filtered=settings.inbox == "own",
    )


def intake_for(
    keys: Sequence[bytes],
    settings: Settings,
    inbox: Callable[[], Inbox],
    messaging: Callable[[], Messaging],
) -> IntakeParts | None:
    """What takes jobs that are submitted by message; None where nobody does.

    Args:
        keys: The master keys of signatures: without one no message can be checked.
        settings: Those that hold.
        inbox: Gives what takes messages.
        messaging: Gives what the process has to do with Pub/Sub.
    """
    wanted = settings.inbox == "own" or (settings.inbox, settings.doorbell) == ("shared", "pubsub")
    if not (wanted and keys):
        return None
    from headrace.worker.intake import IntakeParts  # noqa: PLC0415

    found = messaging()
    return IntakeParts(inbox(), found.inbox, found.undeliverable)


def public_address(settings: Settings) -> str | None:
    """Where people reach the API: in production only what the settings say, else this machine."""
    if settings.public_url is not None or settings.env == "production":
        return settings.public_url
    host = "localhost" if settings.host in EVERYWHERE else settings.host
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def work_limits(settings: Settings) -> Limits:
    """The bounds of a worker's jobs."""
    from headrace.worker.engine import Limits  # noqa: PLC0415

    return Limits(
        step_timeout_s=settings.step_timeout_s,
        inline_most=settings.checkpoint_max_bytes,
        fan_out_most=settings.fanout_max,
        max_wait_s=settings.max_wait_s,
        ledger_most=settings.ledger_max,
        ledger_room=settings.ledger_queue,
        schedule_grace_s=settings.schedule_grace_s,
        breakers=breaker_rules(settings),
    )


def links_of(app: Headrace) -> Links:
    """What makes links to signals for people."""
    return Links(lambda: app.signing_keys, lambda: public_address(app.settings))


def breaker_rules(settings: Settings) -> Rules:
    """Of circuit breakers that say nothing else themselves."""
    from headrace.store.breakers import Rules  # noqa: PLC0415

    return Rules(
        failures=settings.breaker_failures,
        within=timedelta(seconds=settings.breaker_window_s),
        open_for=timedelta(seconds=settings.breaker_open_s),
        successes=settings.breaker_successes,
    )


def retention_rules(settings: Settings) -> RetentionRules:
    """How long what is kept is kept."""
    return RetentionRules(
        jobs=timedelta(days=settings.retain_jobs_d),
        checkpoints=timedelta(days=settings.retain_checkpoints_d),
    )


async def run_worker(app: Headrace, queues: Iterable[str] | None, concurrency: int | None) -> int:
    """Run a worker of an app until a signal asks for its end; the exit code for the process."""
    async with app:
        worker = app.worker(queues=queues, concurrency=concurrency)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, worker.stop)
        code = await worker.run()
    if worker.has_stuck_steps:
        from headrace.worker.ending import end_process  # noqa: PLC0415 - seldom needed

        end_process(code)
    return code
