"""The faults that are in force."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Self, TypeVar

from headrace.testing.pubsub.names import short

if TYPE_CHECKING:
    from types import TracebackType

    from headrace.testing.pubsub.faults import PubSubFault

FaultT = TypeVar("FaultT", bound="PubSubFault")


class Injection:
    """A fault in force, until it is removed or its block ends.

    Attributes:
        fault: What goes wrong.
        count: How often it has.
    """

    def __init__(self, fault: PubSubFault, remove: Callable[[Injection], None]) -> None:
        self.fault, self.count = fault, 0
        self._remove = remove

    def remove(self) -> None:
        """End it; nothing happens when it has ended."""
        self._remove(self)

    def concerns(self, name: str) -> bool:
        """Whether it is for the topic or subscription of this full name."""
        return self.fault.on is None or self.fault.on in (name, short(name))

    @property
    def is_spent(self) -> bool:
        """Whether it has struck as often as it may."""
        return self.fault.times is not None and self.count >= self.fault.times

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.remove()


class Faults:
    """All of them, by kind; asked in the server's own thread."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - draws faults
        self._injections: dict[type[PubSubFault], list[Injection]] = {}

    def add(self, injection: Injection) -> None:
        """Put one in force."""
        self._injections.setdefault(type(injection.fault), []).append(injection)

    def remove(self, injection: Injection) -> bool:
        """Take one out of force; whether it was."""
        kind = type(injection.fault)
        if injection not in self._injections.get(kind, ()):
            return False
        self._injections[kind].remove(injection)
        if not self._injections[kind]:
            del self._injections[kind]
        return True

    def all(self) -> list[Injection]:
        """Those in force."""
        return [injection for kind in self._injections.values() for injection in kind]

    def draw(
        self, kind: type[FaultT], name: str, fits: Callable[[FaultT], bool] | None = None
    ) -> FaultT | None:
        """The first fault of a kind that strikes what has this name; counted."""
        for injection in self._injections.get(kind, ()):
            fault = injection.fault
            if injection.is_spent or not injection.concerns(name) or not isinstance(fault, kind):
                continue
            if fits is not None and not fits(fault):
                continue
            if fault.share < 1 and self.random.random() >= fault.share:
                continue
            injection.count += 1
            return fault
        return None
