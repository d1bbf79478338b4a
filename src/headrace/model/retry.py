"""How often and when a failed step is tried again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar, Final

from headrace.model.duration import to_timedelta

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.model.duration import Duration

MAX_ATTEMPTS: Final = 100


@dataclass(frozen=True, slots=True, init=False)
class Retry:
    """How often a step (or an item of a fan-out) is tried, and how long it waits in between.

    The n-th retry waits `first * factor ** (n - 1)`, at most `most`; of that, the share `jitter`
    is random: 0 waits exactly so long, 1 waits anything between nothing and that.

    Attributes:
        attempts: Tries in all, the first one included; 1 to 100, 5 if not given.
        first: The wait after the first failure; 0.1 to 600 s, 1 s if not given.
        factor: By what the wait grows; 1 to 10, 2 if not given.
        most: The longest wait; 1 to 86,400 s, 300 s if not given.
        jitter: The random share of the wait; 0 to 1, 1 if not given.
        unless: Exception types after which another try cannot help: the step fails at once.
    """

    attempts: int
    first: timedelta
    factor: float
    most: timedelta
    jitter: float
    unless: tuple[type[BaseException], ...]

    fast: ClassVar[Retry]
    """3 tries, 0.1 s then twice as long, at most 1 s: for a person who waits."""

    patient: ClassVar[Retry]
    """5 tries, 2 s then twice as long, at most 60 s: for services that need a moment."""

    aggressive: ClassVar[Retry]
    """10 tries, 0.5 s then half as much again, at most 30 s."""

    def __init__(
        self,
        attempts: int = 5,
        first: Duration = 1.0,
        *,
        factor: float = 2.0,
        most: Duration = 300.0,
        jitter: float = 1.0,
        unless: type[BaseException] | tuple[type[BaseException], ...] = (),
    ) -> None:
        """Check the ranges and keep the values.

        Raises:
            ValueError: A value is out of its range; the text names it.
        """
        if type(attempts) is not int or not 1 <= attempts <= MAX_ATTEMPTS:
            raise ValueError(f"attempts is {attempts!r}; write a whole number from 1 to 100")
        _check_range(factor, "factor", 1, 10)
        _check_range(jitter, "jitter", 0, 1)
        store = object.__setattr__
        store(self, "attempts", attempts)
        store(self, "first", to_timedelta(first, "first", least=0.1, most=600))
        store(self, "factor", float(factor))
        store(self, "most", to_timedelta(most, "most", least=1, most=86_400))
        store(self, "jitter", float(jitter))
        store(self, "unless", _exception_types(unless))

    def delay(self, attempt: int, random: Callable[[], float]) -> timedelta:
        """The wait after a failed try.

        Args:
            attempt: Which try failed, from 1; numbers above `attempts` are fine.
            random: Gives a number from 0 to 1, as `random.random`.

        Returns:
            Between `(1 - jitter)` of the full wait and the full wait; never above `most`.
        """
        most = self.most.total_seconds()
        try:
            full = min(most, self.first.total_seconds() * self.factor ** (max(attempt, 1) - 1))
        except OverflowError:
            full = most
        return timedelta(seconds=full * (1 - self.jitter * random()))


def _check_range(value: object, name: str, least: float, most: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise ValueError(f"{name} is {value!r}; write a number from {least} to {most}")


def _exception_types(unless: object) -> tuple[type[BaseException], ...]:
    types = unless if isinstance(unless, tuple | list) else (unless,)
    checked = tuple(
        one for one in types if isinstance(one, type) and issubclass(one, BaseException)
    )
    if len(checked) < len(types):
        raise ValueError(f"unless is {unless!r}; write exception types")
    return checked


Retry.fast = Retry(attempts=3, first=0.1, factor=2, most=1, jitter=0.1)
Retry.patient = Retry(attempts=5, first=2, factor=2, most=60, jitter=0.2)
Retry.aggressive = Retry(attempts=10, first=0.5, factor=1.5, most=30, jitter=0.3)
