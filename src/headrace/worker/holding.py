"""What the steps of a job wait for besides their inputs, decided without any I/O."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from headrace.store.entries import WaitRow
from headrace.worker.failure import Failure

if TYPE_CHECKING:
    from datetime import timedelta

    from headrace.model.awaited import AwaitedSignal
    from headrace.model.step import Step
    from headrace.worker.run import JobRun

Key: TypeAlias = tuple[str, str]
"""A step and an item; the item is empty for a step that runs once."""
Kind: TypeAlias = Literal["signal", "child", "delay"]

CHILD_LOOK_S: Final = 3_600.0
"""A child's end wakes its parent; that looks by itself only so often."""
OVER: Final = -math.inf
"""Until when a delay lasted that a step, which waits for more, need not be looked at for again."""


@dataclass(slots=True)
class Holds:
    """What one job waits for.

    Attributes:
        signals: The stored values by name; None for what did not come in time.
        begun: Until when, in monotonic time, each wait lasts that is on record or on its way
            there: by step, item, kind and name. None for what ends by itself.
        steps: Those whose inputs are there, and that wait for something else.
        children: The ids of children that have not ended, as far as is known, whose result is the
            output of a step or item.
        ended: Children that have, and whose result is to be fetched.
    """

    signals: dict[str, str | None] = field(default_factory=dict)
    begun: dict[tuple[str, str, str, str], float | None] = field(default_factory=dict)
    steps: dict[str, Step] = field(default_factory=dict)
    children: dict[Key, str] = field(default_factory=dict)
    ended: deque[tuple[Key, str]] = field(default_factory=deque)

    @property
    def is_open(self) -> bool:
        """Whether something is waited for."""
        return bool(self.steps or self.children)

    def awaited_signals(self) -> list[str]:
        """The names of the signals that steps wait for."""
        return sorted(
            {
                signal.name
                for step in self.steps.values()
                for signal in step.signals
                if signal.name not in self.signals
            }
        )

    def times(self) -> list[float]:
        """When waits of held steps are over, in monotonic time."""
        return [
            until
            for (step, _, kind, name), until in self.begun.items()
            if step in self.steps
            and until not in {None, OVER}
            and (kind == "delay" or name not in self.signals)
        ]

    def delays(self) -> list[float]:
        """When delays of held steps are over, in monotonic time."""
        return [
            until
            for (step, _, kind, _), until in self.begun.items()
            if step in self.steps and kind == "delay" and until not in {None, OVER}
        ]

    def child_ended(self, key: Key, child: str) -> None:
        """A child's result can be fetched, if its step or item waits for it."""
        if self.children.get(key) == child:
            del self.children[key]
            self.ended.append((key, child))


def admit(run: JobRun, now: float) -> None:
    """Let the steps start whose inputs are there, or put on record what else they wait for."""
    holds = run.holding()
    for step in (*holds.steps.values(), *run.arming):
        if _may_start(run, holds, step, now):
            holds.steps.pop(step.name, None)
            run.ready.append(step)
        else:
            holds.steps[step.name] = step
    run.arming = ()


def await_child(run: JobRun, key: Key, child: str) -> None:
    """A step has returned a child job."""
    holds = run.holding()
    holds.begun[(*key, "child", child)] = None
    holds.children[key] = child
    run.entry().add_wait(WaitRow(*key, "child", child, None))


def _may_start(run: JobRun, holds: Holds, step: Step, now: float) -> bool:
    may_start = True
    for signal in step.signals:
        if signal.name not in holds.signals:
            _begin(run, step, ("signal", signal.name), signal.timeout, now)
            may_start = False
        elif holds.signals[signal.name] is None and not signal.may_lack:
            run.failure = run.failure or _too_late(step, signal)
            may_start = False
    if step.delay is not None:
        until = _begin(run, step, ("delay", ""), step.delay, now)
        if until <= now:
            holds.begun[step.name, "", "delay", ""] = OVER
        may_start = may_start and until <= now
    return may_start


def _begin(run: JobRun, step: Step, what: tuple[Kind, str], lasts: timedelta, now: float) -> float:
    """Until when a wait lasts; where it begins, it is put on record."""
    begun = run.holding().begun
    key = (step.name, "", *what)
    until = begun.get(key)
    if until is None:
        wait_s = lasts.total_seconds()
        until = begun[key] = now + wait_s
        run.entry().add_wait(WaitRow(step.name, "", *what, wait_s))
    return until


def _too_late(step: Step, signal: AwaitedSignal) -> Failure:
    return Failure(
        "wait_limit",
        "SIGNAL_TIMEOUT",
        "timeout",
        f"step {step.name} waited {signal.timeout} for the signal {signal.name}, and none came; "
        f"write `{signal.name}: ... | None` for a step that goes on without",
        step.name,
    )
