"""Named points at which a test may end, freeze, fail or delay this process.

`HEADRACE_FAILPOINT=name:nth:action[:path]` is read once, when this module is imported. Without it
`hit` is a function that returns, and nothing can switch a point on later. With it the process acts
when it hits the point `name` for the `nth` time:

- `kill`: SIGKILL, as a crash; `stop`: SIGSTOP, as a freeze;
- `error`: `FailpointError`, which the engine takes for a lost connection;
- `delay` or `delay=SECONDS`: the thread stands still, 1 s if no time is given.

Where a path is given, the process acts only if it can create that file: once in a fleet that has
the same environment, and a test sees that the point was reached.
"""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

VARIABLE: Final = "HEADRACE_FAILPOINT"
ACTIONS: Final = ("kill", "stop", "error", "delay")
DEFAULT_DELAY_S: Final = 1.0


class FailpointError(ConnectionError):
    """Raised by a point whose action is `error`."""


@dataclass(frozen=True, slots=True)
class Failpoint:
    """One armed point.

    Raises:
        ValueError: The specification is not `name:nth:action[:path]`.
    """

    name: str
    nth: int
    action: str
    path: str = ""
    delay_s: float = DEFAULT_DELAY_S
    _hits: Iterator[int] = field(default_factory=lambda: itertools.count(1), repr=False)

    @classmethod
    def parse(cls, specification: str) -> Failpoint:
        """Read `name:nth:action[:path]`."""
        name, nth, action, path = (*specification.split(":", 3), "", "", "")[:4]
        action, _, seconds = action.partition("=")
        if not name or not nth.isdecimal() or int(nth) < 1 or action not in ACTIONS:
            raise ValueError(
                f"{VARIABLE}={specification}: want name:nth:action[:path], nth from 1, action one"
                f" of {', '.join(ACTIONS)}"
            )
        return cls(name, int(nth), action, path, float(seconds) if seconds else DEFAULT_DELAY_S)

    def hit(self, name: str) -> None:
        """Count a hit of `name`, and act at the one that was asked for."""
        # `next` of a count is atomic, so that two threads never both see the nth hit.
        if name == self.name and next(self._hits) == self.nth and self._is_first():
            self._act()

    def _is_first(self) -> bool:
        if not self.path:
            return True
        try:
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            return False
        return True

    def _act(self) -> None:
        if self.action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.action == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif self.action == "error":
            raise FailpointError(f"failpoint {self.name}")
        else:
            time.sleep(self.delay_s)


def bind(environment: Mapping[str, str]) -> Callable[[str], None]:
    """Return what `hit` is in this environment."""
    specification = environment.get(VARIABLE)
    return Failpoint.parse(specification).hit if specification else _pass


def _pass(_name: str) -> None:
    """Do nothing: this process was started without failpoints."""


hit: Final = bind(os.environ)
