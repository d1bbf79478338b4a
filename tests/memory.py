"""Where tests put files that come and go by the thousand."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

MEMORY: Final = Path("/dev/shm")
ROOM: Final = 2 * 1024**3


def folder_in_memory(name: str) -> Path | None:
    """A folder of this user that is kept in memory, where there is room for it; it is not made.

    A database is 400 files. ext4 without a journal, as small virtual machines have it, gives the
    place of a deleted file away only minutes later, and passes by all of those when it makes a new
    one: soon that is a third of a second of CPU for each database.
    """
    if not has_room():
        return None
    folder = MEMORY / f"{name}-{os.getuid()}"
    return None if folder.exists() and folder.stat().st_uid != os.getuid() else folder


def has_room() -> bool:
    """Whether the tests' files fit there, and programs among them can be run."""
    if not MEMORY.is_dir():
        return False
    room = os.statvfs(MEMORY)
    if room.f_flag & os.ST_NOEXEC:
        return False  # as root, PostgreSQL's programs are copied beside the data
    lines = Path("/proc/meminfo").read_text().splitlines()
    available = next(line.split()[1] for line in lines if line.startswith("MemAvailable:"))
    return min(room.f_bavail * room.f_frsize, int(available) * 1024) >= ROOM
