"""A subscription: what waits in it, who has what, and until when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from headrace.testing.pubsub import filters, names, settings
from headrace.testing.pubsub.counts import DeliveryCounts
from headrace.testing.pubsub.faults import Delay, Drop, Duplicate, LoseAcks, Reorder, Silence
from headrace.testing.pubsub.held import REMEMBERED_IDS, Held
from headrace.testing.pubsub.lines import KeyedLine, Line, OpenLine
from headrace.testing.pubsub.refusal import RefusedError
from headrace.testing.pubsub.wire import Proto

if TYPE_CHECKING:
    from headrace.testing.pubsub.consumer import Consumer
    from headrace.testing.pubsub.injection import Faults

INVALID_ACK_ID: Final = "PERMANENT_FAILURE_INVALID_ACK_ID"
_BATCH_BYTES: Final = 1_000_000  # of one delivery: after these it takes no more


class Subscription:
    """One subscription; used in the server's own thread alone.

    Attributes:
        proto: How it is set.
        counts: What happened in it.
        consumers: Who takes from it now.
    """

    def __init__(
        self,
        proto: Proto,
        *,
        faults: Faults,
        numbers: Iterator[int],
        forward: Callable[[Subscription, Held], bool],
    ) -> None:
        """An empty one.

        Args:
            proto: How it is set, complete.
            faults: Those in force.
            numbers: Numbers that no other message or delivery has.
            forward: Brings a message to the dead-letter topic; whether it could.
        """
        self.proto, self.counts = proto, DeliveryCounts()
        self.consumers: list[Consumer] = []
        self._keeps = filters.parse(proto.filter)
        self._faults, self._numbers, self._forward = faults, numbers, forward
        self._open = OpenLine()
        self._keyed: dict[str, KeyedLine] = {}
        self._ready: dict[str, None] = {}  # keys with something to take, in order
        self._held: dict[Held, None] = {}  # all that is not done
        self._by_ack_id: dict[str, Held] = {}
        self._loop = asyncio.get_running_loop()

    @property
    def name(self) -> str:
        """Its full name."""
        return str(self.proto.name)

    @property
    def backlog(self) -> int:
        """How many messages are not done."""
        return len(self._held)

    def receive(self, message: Proto) -> None:
        """Take in what was published to the topic, as filter and faults allow."""
        if self._keeps is not None and not self._keeps(message.attributes):
            self.counts.filtered += 1
            return
        if self._faults.draw(Drop, self.name):
            self.counts.dropped += 1
            return
        late = self._faults.draw(Delay, self.name)
        self._arrive(message, late.by.total_seconds() if late else 0)
        again = self._faults.draw(Duplicate, self.name)
        for _ in range(again.copies if again else 0):
            after_s = again.after.total_seconds() if again else 0
            if after_s > 0:
                self._loop.call_later(after_s, self._arrive, message, 0)
            else:
                self._arrive(message, 0)

    def _arrive(self, message: Proto, delay_s: float) -> None:
        held = Held(next(self._numbers), message, message.ByteSize())
        self._held[held] = None
        self.counts.received += 1
        line = self._line_of(held)
        if delay_s > 0:
            line.delay(held)
            self._loop.call_later(delay_s, self._put_back, line, [held])
            return
        line.put(held)
        self._offer(held)

    def _line_of(self, held: Held) -> Line:
        key = held.message.ordering_key
        if not key or not self.proto.enable_message_ordering:
            return self._open
        if key not in self._keyed:
            self._keyed[key] = KeyedLine()
        return self._keyed[key]

    def _put_back(self, line: Line, held_back: list[Held]) -> None:
        line.put_back(held_back)
        self._offer(held_back[0])

    def _offer(self, held: Held) -> None:
        key = held.message.ordering_key
        if key in self._keyed and self._keyed[key].waiting:
            self._ready[key] = None
        self.wake()

    def wake(self) -> None:
        """Let the consumers see what waits, each time another one first."""
        if len(self.consumers) > 1:
            self.consumers.append(self.consumers.pop(0))
        for consumer in self.consumers:
            consumer.wake.set()

    def take(self, consumer: Consumer, most: int) -> list[Held]:
        """Lease up to `most` messages to `consumer`: a fair part of what waits."""
        if self._faults.draw(Silence, self.name):
            return []
        fair = -(-self._open.waiting // max(1, len(self.consumers)))
        most = min(most, max(1, fair)) if self._open.waiting else most
        offers = self._offers(consumer)
        taken: list[Held] = []
        size = 0
        while consumer.room and len(taken) < most and size < _BATCH_BYTES:
            held = next(offers, None)
            if held is None:
                break
            self._lease(held, consumer)
            taken.append(held)
            size += held.size
        return taken

    def _offers(self, consumer: Consumer) -> Iterator[Held]:
        while held := self._open.take(consumer, self._choose):
            yield held
        for key in tuple(self._ready):
            line = self._keyed[key]
            while held := line.take(consumer, self._choose):
                yield held
            if not line.waiting:
                self._ready.pop(key, None)

    def _choose(self, waiting: int) -> int:
        fault = self._faults.draw(Reorder, self.name) if waiting > 1 else None
        return self._faults.random.randrange(min(waiting, fault.window)) if fault else 0

    def _lease(self, held: Held, consumer: Consumer) -> None:
        ack_id = f"{held.message.message_id}-{next(self._numbers)}"
        self._by_ack_id[ack_id] = held
        held.lease(consumer, ack_id)
        if len(held.ack_ids) > REMEMBERED_IDS:
            self._by_ack_id.pop(held.ack_ids.pop(0), None)
        self._expire_in(held, consumer.deadline_s or self.proto.ack_deadline_seconds)
        self.counts.delivered += 1

    def _expire_in(self, held: Held, seconds: float) -> None:
        held.expire_by(self._loop.call_later(seconds, self._expire, held))

    def acknowledge(self, ack_id: str) -> str | None:
        """End a message; why not, where delivery is exactly once.

        Elsewhere an id that is not known or no longer valid is passed over, as Google may.
        """
        held = self._by_ack_id.get(ack_id)
        if held is None or not self._may_settle(held, ack_id):
            self.counts.late_acks += 1
            return INVALID_ACK_ID if self.proto.enable_exactly_once_delivery else None
        if self._faults.draw(LoseAcks, self.name):
            self.counts.lost_acks += 1
            return None
        self.counts.acked += 1
        self._finish(held)
        return None

    def _may_settle(self, held: Held, ack_id: str) -> bool:
        if not self.proto.enable_exactly_once_delivery:
            return True
        return held.holder is not None and held.ack_ids[-1] == ack_id

    def _finish(self, held: Held) -> None:
        held.release()
        held.is_done = True
        self._held.pop(held, None)
        for ack_id in held.ack_ids:
            self._by_ack_id.pop(ack_id, None)
        line = self._line_of(held)
        line.settle(held)
        if isinstance(line, KeyedLine) and line.is_empty:
            del self._keyed[held.message.ordering_key]
            self._ready.pop(held.message.ordering_key, None)
        elif isinstance(line, KeyedLine):
            self._offer(held)

    def extend(self, ack_id: str, seconds: int) -> str | None:
        """Move an ack deadline; 0 gives the message back. Why not, as for `acknowledge`."""
        held = self._by_ack_id.get(ack_id)
        if held is None or held.holder is None or not self._may_settle(held, ack_id):
            return INVALID_ACK_ID if self.proto.enable_exactly_once_delivery else None
        if seconds:
            self.counts.extended += 1
            self._expire_in(held, seconds)
        else:
            self.counts.nacked += 1
            self._fail(held)
        return None

    def _expire(self, held: Held) -> None:
        self.counts.expired += 1
        self._fail(held)

    def expire_all(self) -> int:
        """Let all ack deadlines pass now; how many there were."""
        expired = [held for held in self._held if held.holder is not None]
        for held in expired:
            if held.holder is not None:  # else it was withdrawn with one before it
                self._expire(held)
        return len(expired)

    def _fail(self, held: Held) -> None:
        held.failures += 1
        policy = self.proto.dead_letter_policy
        is_exhausted = 0 < policy.max_delivery_attempts <= held.failures
        if is_exhausted and self._forward(self, held):
            self.counts.dead_lettered += 1
            self._finish(held)
            return
        line = self._line_of(held)
        withdrawn = line.withdraw(held)
        self._held.update(dict.fromkeys(withdrawn))
        wait = settings.backoff(self.proto, held.failures)
        if wait:
            self._loop.call_later(wait.total_seconds(), self._put_back, line, withdrawn)
        else:
            self._put_back(line, withdrawn)

    def attempt_of(self, held: Held) -> int:
        """The delivery attempt that is told to the receiver; 0 without a dead-letter policy."""
        return held.failures + 1 if self.proto.HasField("dead_letter_policy") else 0

    def change(self, proto: Proto) -> None:
        """Set it anew; what waits stays."""
        self.proto = proto
        self.wake()

    def close(self, error: RefusedError) -> None:
        """End it, and tell everybody who takes from it."""
        for held in self._held:
            held.release()
        for consumer in tuple(self.consumers):
            consumer.close(error)

    @property
    def short_name(self) -> str:
        """The last part of its name."""
        return names.short(self.name)
