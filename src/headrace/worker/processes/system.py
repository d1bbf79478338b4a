"""What only the operating system knows of a process: its memory, its children, its parent's death.

Linux answers everything. Elsewhere a memory limit is asked for in the way there is, and traces of a
step are not looked for.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

IS_LINUX: Final = sys.platform == "linux"
MIB: Final = 1 << 20
OOM_SCORE: Final = "500"
"""Where memory is short, the kernel kills a step's process rather than the worker."""
MEMORY_LIMIT: Final = "MEMORY_LIMIT"
"""Code of the failure of a step that has passed its memory limit."""
MEMORY_EXIT: Final = 71
"""Exit code of a process in which not even a message of the worker could be read any more."""
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36


def adopt_orphans() -> None:
    """What descendants of this process leave behind becomes its child, so that it can end it."""
    if IS_LINUX:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with(parent: int) -> None:
    """Be killed when `parent` dies; at once if it has died already."""
    if IS_LINUX:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def be_first_to_go() -> None:
    """Offer this process to the kernel where memory is short."""
    if IS_LINUX:
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text(OOM_SCORE, encoding="ascii")


def data_bytes() -> int:
    """The private memory that this process has reserved for data; 0 where it cannot be told."""
    if not IS_LINUX:
        return 0
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[5]
    return int(pages) * resource.getpagesize()


@contextlib.contextmanager
def limited_memory(mebibytes: int | None) -> Iterator[None]:
    """Refuse this process more than so much memory beyond what it has now.

    RLIMIT_DATA, not RLIMIT_AS: libraries and reserved address space cost nothing. What the
    process had before belongs to the interpreter and the app, so the limit is the step's alone.
    """
    if mebibytes is None:
        yield
        return
    kind = resource.RLIMIT_DATA if IS_LINUX else resource.RLIMIT_AS
    soft, hard = resource.getrlimit(kind)
    limit = data_bytes() + mebibytes * MIB
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    with contextlib.suppress(ValueError, OSError):  # macOS refuses some limits
        resource.setrlimit(kind, (limit, hard))
    try:
        yield
    finally:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (soft, hard))


def children() -> set[int]:
    """The living children of this process."""
    found: set[int] = set()
    if not IS_LINUX:
        return found
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            found.update(map(int, (task / "children").read_text(encoding="ascii").split()))
    return {child for child in found if not _is_dead(child)}


def _is_dead(process: int) -> bool:
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True
    return text.rpartition(")")[2].split()[0] in {"Z", "X"}


@dataclass(frozen=True, slots=True)
class Traces:
    """What runs beside the main thread of this process."""

    threads: frozenset[int]
    processes: frozenset[int]

    @classmethod
    def now(cls) -> Traces:
        """As it is at this moment."""
        threads = frozenset(thread.ident or 0 for thread in threading.enumerate())
        return cls(threads, frozenset(children()))

    def since(self, before: Traces) -> Traces:
        """What came since then and is still there."""
        return Traces(self.threads - before.threads, self.processes - before.processes)


def can_be_forked(sockets_before: set[str]) -> bool:
    """Whether a fork would carry all that this process is made of: no threads, no connections."""
    single = len(list(Path("/proc/self/task").iterdir())) == 1
    return single and not children() and sockets() <= sockets_before


def sockets() -> set[str]:
    """The sockets that this process holds."""
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            target = str(descriptor.readlink())
            if target.startswith("socket:"):
                found.add(target)
    return found
