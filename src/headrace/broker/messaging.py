"""All of a process that has to do with Pub/Sub, made from one place."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from headrace.broker.publisher import Publisher
from headrace.broker.pubsub import JOBS_PER_RING, PubSubBroker
from headrace.broker.received import Puller
from headrace.broker.sending import TopicSender
from headrace.broker.setup import set_up
from headrace.broker.stream import PubSubDoorbell
from headrace.broker.topology import topology

if TYPE_CHECKING:
    from headrace.broker.access import Access
    from headrace.broker.setup import Found
    from headrace.broker.topology import Names, Push


class Messaging:
    """The parts of Pub/Sub in a process: they share one publisher.

    On an emulator, which forgets everything when it ends, missing topics and subscriptions are made
    when they are missed; on the real service only `set_up` makes them, for whom it is permitted.

    Args:
        access: Whose Pub/Sub.
        names: Of topics and subscriptions.
        most_bytes: Of messages that a worker has in hand at once.
        jobs_per_ring: Due jobs for which one ring is enough.
        filtered: Whether submitted jobs have a subscription of their own.
    """

    def __init__(
        self,
        access: Access,
        names: Names,
        *,
        most_bytes: int,
        jobs_per_ring: int = JOBS_PER_RING,
        filtered: bool = False,
    ) -> None:
        self.access, self.names, self._most_bytes = access, names, most_bytes
        self._jobs_per_ring, self._filtered = jobs_per_ring, filtered

    @cached_property
    def publisher(self) -> Publisher:
        """The one publisher of the process."""
        return Publisher(self.access, repair=self._repair)

    @cached_property
    def broker(self) -> PubSubBroker:
        """What rings."""
        return PubSubBroker(self.publisher, self.names.jobs, jobs_per_ring=self._jobs_per_ring)

    @cached_property
    def doorbell(self) -> PubSubDoorbell:
        """What hears rings."""
        return self._stream(self.names.subscription)

    @cached_property
    def inbox(self) -> PubSubDoorbell:
        """Where submitted jobs come in: beside the rings, or by a subscription of their own."""
        return self._stream(self.names.inbox) if self._filtered else self.doorbell

    @cached_property
    def undeliverable(self) -> Puller:
        """What Pub/Sub has given up delivering."""
        return Puller(self.access, f"{self.names.undeliverable}-sub", repair=self._repair)

    @cached_property
    def sender(self) -> TopicSender:
        """What sends results and dead letters."""
        return TopicSender(self.publisher)

    async def set_up(
        self, *, check: bool = False, filtered: bool = False, push: Push | None = None
    ) -> list[Found]:
        """Make topics and subscriptions, or look at them; arguments as `topology` has them.

        Raises:
            BrokerUnavailableError: Pub/Sub does not answer, or does not permit it.
        """
        wanted = topology(self.names, filtered=filtered, push=push)
        return await set_up(self.access, wanted, check=check)

    async def close(self) -> None:
        """Break off what is being published."""
        if "publisher" in self.__dict__:
            await self.publisher.close()

    async def _repair(self) -> bool:
        """Make what is missing, where that is ours to do; whether it was."""
        if self.access.emulator is None:
            return False
        await set_up(self.access, topology(self.names, filtered=self._filtered))
        return True

    def _stream(self, subscription: str) -> PubSubDoorbell:
        return PubSubDoorbell(
            self.access,
            subscription,
            ack_deadline=self.names.ack_deadline,
            most_bytes=self._most_bytes,
            repair=self._repair,
        )
