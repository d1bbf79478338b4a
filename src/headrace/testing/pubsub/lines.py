"""The order in which the messages of a subscription are delivered.

A message waits in a line. All those without an ordering key stand in one `OpenLine`, and may be
taken by anybody in any number; each key has a `KeyedLine` of its own, where the next goes to whom
has the ones before it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeAlias

from typing_extensions import override

if TYPE_CHECKING:
    from headrace.testing.pubsub.consumer import Consumer
    from headrace.testing.pubsub.held import Held

Choose: TypeAlias = Callable[[int], int]
"""Which of so many that wait is next, by its place; 0 unless something reorders them."""


class Line(Protocol):
    """Where messages wait."""

    def put(self, held: Held) -> None:
        """Add a message that arrived."""

    def take(self, consumer: Consumer, choose: Choose) -> Held | None:
        """Give out the next that `consumer` may have; None when there is none."""

    def settle(self, held: Held) -> None:
        """A message that was given out is done."""

    def delay(self, held: Held) -> None:
        """Add a message that is to wait until it is put back."""

    def withdraw(self, held: Held) -> list[Held]:
        """A message that was given out has to be delivered again: it, and those that follow it.

        They are in nobody's hands afterwards, and are taken only after they were put back.
        """

    def put_back(self, held_back: list[Held]) -> None:
        """Let messages be taken that were delayed or withdrawn."""

    @property
    def waiting(self) -> int:
        """How many could be taken."""


class OpenLine(Line):
    """Messages that do not depend on each other."""

    def __init__(self) -> None:
        self._waiting: deque[Held] = deque()

    @override
    def put(self, held: Held) -> None:
        self._waiting.append(held)

    @override
    def take(self, consumer: Consumer, choose: Choose) -> Held | None:
        return _take_one(self._waiting, choose)

    @override
    def settle(self, held: Held) -> None:
        """Nothing waits for it."""

    @override
    def delay(self, held: Held) -> None:
        """It is in no line until it is put back."""

    @override
    def withdraw(self, held: Held) -> list[Held]:
        held.release()
        return [held]

    @override
    def put_back(self, held_back: list[Held]) -> None:
        self._waiting.extend(held_back)

    @property
    @override
    def waiting(self) -> int:
        return len(self._waiting)


class KeyedLine(Line):
    """The messages of one ordering key.

    Those given out stay in `_given` until all before them are done, because a message that is
    delivered again brings all after it again, also those that were acknowledged. Google promises
    this, so that every receiver sees a contiguous order in the end.
    """

    def __init__(self) -> None:
        self._waiting: deque[Held] = deque()
        self._given: list[Held] = []
        self._delays = 0

    @override
    def put(self, held: Held) -> None:
        self._waiting.append(held)

    @override
    def take(self, consumer: Consumer, choose: Choose) -> Held | None:
        holder = next((held.holder for held in self._given if held.holder is not None), None)
        if self._delays or holder not in (None, consumer):
            return None
        held = _take_one(self._waiting, choose)
        if held is not None:
            self._given.append(held)
        return held

    @override
    def settle(self, held: Held) -> None:
        while self._given and self._given[0].is_done:
            del self._given[0]

    @override
    def delay(self, held: Held) -> None:
        self._waiting.append(held)
        self._delays += 1

    @override
    def withdraw(self, held: Held) -> list[Held]:
        place = self._given.index(held)
        withdrawn = self._given[place:]
        del self._given[place:]
        for each in withdrawn:
            each.release()
            each.is_done = False
        self._waiting = deque(sorted([*withdrawn, *self._waiting], key=lambda each: each.number))
        self._delays += 1
        return withdrawn

    @override
    def put_back(self, held_back: list[Held]) -> None:
        self._delays -= 1

    @property
    @override
    def waiting(self) -> int:
        return 0 if self._delays else len(self._waiting)

    @property
    def is_empty(self) -> bool:
        """Whether nothing of its key is left."""
        return not self._waiting and not self._given and not self._delays


def _take_one(waiting: deque[Held], choose: Choose) -> Held | None:
    while waiting:
        place = choose(len(waiting))
        held = waiting[place]
        del waiting[place]
        if not held.is_done:  # else somebody acknowledged it although it had been taken from him
            return held
    return None
