"""What became of the messages of a subscription, in numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class DeliveryCounts:
    """How often each thing happened in a subscription since it was made.

    Attributes:
        received: Messages that came from its topic and passed its filter, copies too.
        filtered: Messages that its filter kept out.
        dropped: Messages that a fault lost.
        delivered: Deliveries; one message can have several.
        acked: Messages that were acknowledged.
        nacked: Deliveries that were given back.
        expired: Deliveries whose ack deadline passed.
        extended: Ack deadlines that were moved.
        dead_lettered: Messages that were forwarded to the dead-letter topic.
        lost_acks: Acknowledgements that a fault forgot.
        late_acks: Acknowledgements of what nobody held (any more), or refused ones.
    """

    received: int = 0
    filtered: int = 0
    dropped: int = 0
    delivered: int = 0
    acked: int = 0
    nacked: int = 0
    expired: int = 0
    extended: int = 0
    dead_lettered: int = 0
    lost_acks: int = 0
    late_acks: int = 0
