"""A Pub/Sub server for tests."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Self, TypeVar

from headrace.testing.pubsub.certificates import PATH
from headrace.testing.pubsub.core import Core
from headrace.testing.pubsub.doorway import HOST
from headrace.testing.pubsub.injection import Injection
from headrace.testing.pubsub.loop_thread import LoopThread
from headrace.testing.pubsub.order import SubscriptionOrder
from headrace.testing.pubsub.published import PublishedMessage, published
from headrace.testing.pubsub.refusal import Code
from headrace.testing.pubsub.stream import Stream
from headrace.testing.pubsub.wire import PubsubMessage

if TYPE_CHECKING:
    from types import TracebackType

    from headrace.testing.pubsub.counts import DeliveryCounts
    from headrace.testing.pubsub.faults import Call, PubSubFault
    from headrace.testing.pubsub.tokens import Claim

T = TypeVar("T")

PROJECT: Final = "emulator-project"


class PubSubServer:
    """Speaks Google Cloud Pub/Sub over real gRPC on this machine, and fails when it is told to.

    Topics, subscriptions, pull and streaming pull, ack deadlines, redelivery with back-off,
    filters, ordering keys, dead-letter topics, exactly-once delivery, and push with signed tokens.
    Nothing is stored on disk; snapshots, schemas, `Seek` and permissions are not there.

        with PubSubServer() as server:
            topic = server.create_topic("orders")
            server.create_subscription("orders-sub", topic)
            with server.inject(Duplicate(share=0.2)):
                ...  # a client, with server.environment

    It works in a thread of its own, so it also answers a test that blocks, and other processes.
    A context manager, plain or async: it listens inside the block. Where its methods take a name,
    both the id and the full name will do.

    Attributes:
        project: The project of names that are ids.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        project: str = PROJECT,
        seed: int = 0,
        least_ack_deadline: timedelta = timedelta(seconds=10),
    ) -> None:
        """A server that does not listen yet.

        Args:
            port: Where it listens on the loopback interface; 0 is any free port.
            project: The project of names that are ids.
            seed: For what faults draw; the same calls meet the same faults.
            least_ack_deadline: The shortest that a subscription may have, in whole seconds.
                Google's is 10 s, which tests rarely want to wait for.
        """
        self.project = project
        seconds = int(least_ack_deadline.total_seconds())
        self._core = Core(port=port, seed=seed, least_ack_deadline_s=seconds)
        self._thread = LoopThread(self._core.live)

    @property
    def address(self) -> str:
        """Host and port; stays the same over restarts."""
        if not self._core.doorway.port:
            raise RuntimeError("the server listens only inside its `with` block")
        return f"{HOST}:{self._core.doorway.port}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that let Google's clients in a process talk to it."""
        return {"PUBSUB_EMULATOR_HOST": self.address, "PUBSUB_PROJECT_ID": self.project}

    # --- topics and subscriptions ---------------------------------------------------------------

    def topic(self, name: str) -> str:
        """The full name of a topic, whether it exists or not."""
        return self._full(name, "topics")

    def subscription(self, name: str) -> str:
        """The full name of a subscription, whether it exists or not."""
        return self._full(name, "subscriptions")

    def create_topic(self, name: str) -> str:
        """Make a topic unless it exists; its full name."""
        full = self.topic(name)
        self._do(lambda core: core.exchange.ensure_topic(full))
        return full

    def create_subscription(
        self, name: str, topic: str, order: SubscriptionOrder | None = None
    ) -> str:
        """Make a subscription; its full name.

        Args:
            name: Its name.
            topic: Of which topic.
            order: How it is set; None is as Google sets it.

        Raises:
            RefusedError: It exists, the topic does not, or a setting is outside its bounds.
        """
        proto = (order or SubscriptionOrder()).proto(self.topic)
        proto.name, proto.topic = self.subscription(name), self.topic(topic)
        self._thread.call(self._core.subscribing.create_subscription(proto))
        return str(proto.name)

    def publish(
        self,
        topic: str,
        data: bytes = b"",
        attributes: Mapping[str, str] | None = None,
        *,
        ordering_key: str = "",
    ) -> str:
        """Publish a message without a client; its id.

        No limit of size is checked: what a client could not send can be tried, too.

        Raises:
            RefusedError: There is no such topic.
        """
        name = self.topic(topic)
        message = PubsubMessage(data=data, attributes=attributes, ordering_key=ordering_key)
        return self._do(lambda core: core.exchange.publish(core.exchange.topic(name), [message])[0])

    def messages(self, topic: str) -> list[PublishedMessage]:
        """All that was published to a topic, in order; dead letters that came to it, too.

        Raises:
            RefusedError: There is no such topic.
        """
        name = self.topic(topic)
        return self._do(
            lambda core: [published(each) for each in core.exchange.topic(name).messages]
        )

    # --- what happened --------------------------------------------------------------------------

    def counts(self, subscription: str) -> DeliveryCounts:
        """What happened in a subscription so far.

        Raises:
            RefusedError: There is no such subscription.
        """
        name = self.subscription(subscription)
        return self._do(lambda core: copy(core.exchange.subscription(name).counts))

    def backlog(self, subscription: str) -> int:
        """How many messages of a subscription are not done: they wait, or somebody has them.

        Raises:
            RefusedError: There is no such subscription.
        """
        name = self.subscription(subscription)
        return self._do(lambda core: core.exchange.subscription(name).backlog)

    def streams(self, subscription: str) -> int:
        """How many streaming pulls of a subscription are open.

        Raises:
            RefusedError: There is no such subscription.
        """
        name = self.subscription(subscription)
        return self._do(
            lambda core: sum(
                isinstance(each, Stream) for each in core.exchange.subscription(name).consumers
            )
        )

    def calls(self) -> Counter[Call]:
        """How often each call was made, also those that failed."""
        return self._do(lambda core: Counter(core.calls.counts))

    def push_statuses(self, subscription: str) -> Counter[int]:
        """How often the pushes were answered by each HTTP status; 0 is no answer in time."""
        name = self.subscription(subscription)
        return self._do(lambda core: Counter(core.pushing.statuses.get(name, {})))

    # --- what goes wrong ------------------------------------------------------------------------

    def inject(self, fault: PubSubFault) -> Injection:
        """Let a fault happen from now on, until its `with` block ends or `remove()`.

        Messages that are in a subscription already are not dropped, delayed or duplicated.
        """
        injection = Injection(fault, self._remove)
        self._thread.call(self._core.inject(injection))
        return injection

    def clear_faults(self) -> None:
        """End all faults."""
        for injection in self._do(lambda core: core.faults.all()):
            injection.remove()

    def expire_leases(self, subscription: str) -> int:
        """Let all ack deadlines of a subscription pass now; how many there were.

        Raises:
            RefusedError: There is no such subscription.
        """
        name = self.subscription(subscription)
        return self._do(lambda core: core.exchange.subscription(name).expire_all())

    def close_streams(self, code: Code | None = Code.UNAVAILABLE) -> int:
        """Close all streaming pulls, with an error or None; how many there were."""
        return self._do(lambda core: core.close_streams(code))

    def reset_connections(self) -> int:
        """End all connections by RST; how many there were. Clients can connect again at once."""
        return self._do(lambda core: core.doorway.reset())

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Inside the block connections stay open and nothing passes: a network that was cut."""
        self._do(lambda core: core.doorway.freeze())
        try:
            yield
        finally:
            self._do(lambda core: core.doorway.thaw())

    def stop(self, *, gently: bool = False) -> None:
        """Be down: refuse connections, and reset those there are.

        What waits in the subscriptions stays there, and ack deadlines go on passing.

        Args:
            gently: Tell clients first that the server goes away, and give calls a second to end.
        """
        self._thread.call(self._core.down(gently=gently))

    def start(self, *, lose_state: bool = False) -> None:
        """Be up again, at the same address.

        Args:
            lose_state: Forget all topics, subscriptions and messages, as an emulator does.
        """
        if lose_state:
            self._do(lambda core: core.exchange.clear())
        self._thread.call(self._core.up())

    def restart(self, *, lose_state: bool = False, gently: bool = False) -> None:
        """Stop and start again."""
        self.stop(gently=gently)
        self.start(lose_state=lose_state)

    @contextlib.contextmanager
    def outage(self) -> Iterator[None]:
        """Be down inside the block."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    # --- push tokens ----------------------------------------------------------------------------

    @property
    def certificates_url(self) -> str:
        """Where the public keys of the push tokens are, as a JSON web key set."""
        return f"http://{HOST}:{self._core.certificates.port}{PATH}"

    def token(self, audience: str, email: str, **changes: Claim | None) -> str:
        """A push token: RS256, of https://accounts.google.com, valid for an hour.

        Args:
            audience: Whom it is for.
            email: The service account that pushes.
            **changes: Claims that are to be otherwise; None leaves a claim out.
        """
        claims = {**self._core.tokens.claims(audience, email), **changes}
        given = {name: value for name, value in claims.items() if value is not None}
        return self._do(lambda core: core.tokens.sign(given))

    def rotate_keys(self) -> None:
        """Sign with a new key from now on; the one before it stays published."""
        self._do(lambda core: core.tokens.rotate())

    # --- the block ------------------------------------------------------------------------------

    def _full(self, name: str, kind: str) -> str:
        return name if "/" in name else f"projects/{self.project}/{kind}/{name}"

    def _do(self, work: Callable[[Core], T]) -> T:
        async def done() -> T:
            return work(self._core)

        return self._thread.call(done())

    def _remove(self, injection: Injection) -> None:
        self._thread.call(self._core.remove(injection))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._thread.stop()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, trace)
