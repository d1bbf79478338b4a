"""Processor time and memory of a worker and of its database, from /proc (Linux only)."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

PROC: Final = Path("/proc")
TICKS: Final = os.sysconf("SC_CLK_TCK")


class Used(NamedTuple):
    """Seconds of processor time since the start; the parts add up to all of it."""

    loop: float
    """The worker's main thread: the engine and the steps that run on its event loop."""
    threads: float
    """Its other threads: the model computes there."""
    children: float
    """Its step processes."""
    database: float
    """The server's processes; 0 where they are not on this machine."""

    def since(self, earlier: "Used") -> "Used":
        """What was used since then."""
        return Used(*(now - then for now, then in zip(self, earlier, strict=True)))


def used(worker: int, backend: int) -> Used:
    """What a worker, and the server that has this backend, have used up to now."""
    main = _seconds(PROC / str(worker) / "task" / str(worker))
    own = _seconds(PROC / str(worker))
    children = sum(_with_ended(pid) for pid in _below(worker)) + _of_ended(worker)
    return Used(main, own - main, children, _of_server(backend))


def memory_mib(worker: int) -> float:
    """Memory of a worker and its step processes, in MiB; what they share is counted once."""
    return sum(map(_share_kib, (worker, *_below(worker)))) / 2**10


def _of_server(backend: int) -> float:
    folder = PROC / str(backend)
    if not folder.exists() or "postgres" not in (folder / "comm").read_text():
        return 0.0
    server = int(_fields(folder)[1])
    return _seconds(PROC / str(server)) + _of_ended(server) + sum(map(_with_ended, _below(server)))


def _below(pid: int) -> Iterator[int]:
    """The living processes that a process has started, and those that they have, and so on."""
    for task in (PROC / str(pid) / "task").iterdir():
        for child in (task / "children").read_text().split():
            yield int(child)
            yield from _below(int(child))


def _with_ended(pid: int) -> float:
    return _seconds(PROC / str(pid)) + _of_ended(pid)


def _seconds(folder: Path) -> float:
    return sum(map(int, _fields(folder)[11:13])) / TICKS


def _of_ended(pid: int) -> float:
    return sum(map(int, _fields(PROC / str(pid))[13:15])) / TICKS


def _fields(folder: Path) -> list[str]:
    """The fields of a `stat` file behind the name, which may hold anything: from `state` on."""
    return (folder / "stat").read_text().rpartition(") ")[2].split()


def _share_kib(pid: int) -> int:
    lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
