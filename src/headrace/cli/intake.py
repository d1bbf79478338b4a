"""Many files on their way into the library: added a few at once, then followed until they end."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from headrace.cli.output import text_of
from headrace.cli.running import together

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from headrace.cli.gathering import Found
    from headrace.pipelines.documents import DocumentStatus, Library

AT_ONCE: Final = 4
"""Files that are read at once: each may take 25 MiB."""
RUNNING_AT_ONCE: Final = 100
WAITING_AT_ONCE: Final = 200
"""Documents that one look is about: those that run, the next ones, and as many of the others, which
take turns."""
SHORTEST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 5.0
LOOK_SHARE: Final = 10
"""Looking takes one part in so many of the time: the database has other work."""

Outcome: TypeAlias = Literal[
    "waiting", "running", "added", "reused", "failed", "cancelled", "refused"
]
OPEN: Final = frozenset({"waiting", "running"})


@dataclass(slots=True)
class Entry:
    """A file, and what became of it."""

    found: Found
    outcome: Outcome = "waiting"
    document: str | None = None
    is_new: bool = True
    """Whether it began the job."""
    was_complete: bool | None = None
    """Whether its content could be searched before; None while nobody has looked."""
    status: DocumentStatus | None = None
    problem: str | None = None
    """Why it was refused, or its document failed."""
    is_ignored: bool = False
    """Whether nobody meant it: what folders hold beside documents."""

    def __post_init__(self) -> None:
        if self.found.problem is not None:
            self.refuse(self.found.problem, is_ignored=self.found.is_ignored)

    def refuse(self, problem: str, *, is_ignored: bool) -> None:
        """Note that it is not taken in."""
        self.outcome, self.problem, self.is_ignored = "refused", problem, is_ignored

    def note(self, status: DocumentStatus | None, *, is_copy: bool = False) -> None:
        """Note how its document is.

        Args:
            status: None where it is there no longer.
            is_copy: Whether a file before it has the same content.
        """
        if status is None:
            self.outcome, self.problem = "cancelled", "it was deleted meanwhile"
            return
        self.status = status
        if self.was_complete is None:
            self.was_complete = not self.is_new and status.stage == "complete"
        if not status.stage.is_final:
            self.outcome = "waiting" if status.stage in {"receiving", "uploaded"} else "running"
        elif status.stage == "complete":
            self.outcome = "reused" if self.was_complete or is_copy else "added"
        else:
            self.outcome = "cancelled" if status.stage == "cancelled" else "failed"
            self.problem = None if status.problem is None else status.problem.message

    @property
    def chunks(self) -> int:
        """Of its document, as far as they are known."""
        return 0 if self.status is None else self.status.chunks_total

    def row(self) -> dict[str, object]:
        """What is told of it at the end."""
        return {
            "file": text_of(self.found.path),
            "outcome": self.outcome,
            "chunks": self.chunks if self.outcome in {"added", "reused"} else None,
            "document": self.document,
            "reason": self.problem,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class HowToAdd:
    """What holds for all files of a call."""

    tenant: str
    owner: str
    again: bool = False
    name: str | None = None
    sha256: str | None = None


@dataclass(slots=True)
class Intake:
    """All files of one call."""

    entries: list[Entry]
    how: HowToAdd
    shortest_pause_s: float = SHORTEST_PAUSE_S
    """Between two looks."""
    since: float = field(default_factory=time.monotonic)
    has_work: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once a file was taken whose document has not ended."""
    _open: dict[str, list[Entry]] = field(default_factory=dict)
    """The entries of each document that has not ended."""
    _turn: int = 0
    """Where the next look at the others begins."""

    @property
    def counts(self) -> Counter[str]:
        """How many files have each outcome."""
        return Counter(entry.outcome for entry in self.entries)

    async def add(self, library: Library) -> None:
        """Store every file and begin its job, a few at once.

        Raises:
            HeadraceError: No file can be stored, as while the database is away or the disk is full.
        """
        todo = iter([entry for entry in self.entries if entry.outcome == "waiting"])

        async def add_some() -> None:
            for entry in todo:
                await self._add(library, entry)

        await together(*(add_some() for _ in range(AT_ONCE)))

    async def add_and_follow(self, library: Library, show: Callable[[Intake], None]) -> None:
        """Add every file, and show how they go until none is left that has not ended.

        Raises:
            HeadraceError: As `add`.
        """
        is_all_added = False

        async def add() -> None:
            nonlocal is_all_added
            await self.add(library)
            is_all_added = True

        async def follow() -> None:
            while True:
                is_last = is_all_added  # before the look: what is added during it is seen by none
                began = time.monotonic()
                await self.look(library)
                show(self)
                if is_last and not self._open:
                    return
                pause_s = (time.monotonic() - began) * LOOK_SHARE
                await asyncio.sleep(min(max(pause_s, self.shortest_pause_s), LONGEST_PAUSE_S))

        await together(add(), follow())

    async def look(self, library: Library, *, at_all: bool = False) -> None:
        """Note how documents are that have not ended: some of them, where there are many."""
        wanted = list(self._open) if at_all else self._next_ones()
        for first in range(0, len(wanted), WAITING_AT_ONCE):
            part = wanted[first : first + WAITING_AT_ONCE]
            statuses = await library.statuses(part, tenant=self.how.tenant, owner=self.how.owner)
            self._note(part, {status.id: status for status in statuses})

    def _next_ones(self) -> list[str]:
        running = [key for key, entries in self._open.items() if entries[0].outcome == "running"]
        waiting = [key for key, entries in self._open.items() if entries[0].outcome == "waiting"]
        next_ones, others = waiting[:WAITING_AT_ONCE], waiting[WAITING_AT_ONCE:]
        turn = self._turn if self._turn < len(others) else 0
        self._turn = turn + WAITING_AT_ONCE
        return running[:RUNNING_AT_ONCE] + next_ones + others[turn : self._turn]

    def _note(self, documents: Iterable[str], statuses: dict[str, DocumentStatus]) -> None:
        for document in documents:
            for place, entry in enumerate(self._open[document]):
                entry.note(statuses.get(document), is_copy=place > 0)
            if all(entry.outcome not in OPEN for entry in self._open[document]):
                del self._open[document]
            else:
                self.has_work.set()

    async def _add(self, library: Library, entry: Entry) -> None:
        from headrace.pipelines.documents import DocumentNotFoundError, FileRefusedError

        how = self.how
        try:
            added = await library.add(
                entry.found.path,
                name=how.name,
                tenant=how.tenant,
                owner=how.owner,
                sha256=how.sha256,
                again=how.again,
            )
        except FileRefusedError as error:
            entry.refuse(str(error), is_ignored=_is_beside(entry, error))
        except DocumentNotFoundError:
            entry.note(None)
        else:
            entry.document, entry.is_new = added.document, added.is_new
            self._open.setdefault(added.document, []).append(entry)
            if added.is_new:
                self.has_work.set()


def _is_beside(entry: Entry, error: Exception) -> bool:
    """Whether a file of a folder is no document at all, as a picture."""
    from headrace.pipelines.documents.parsing.errors import UnsupportedFileError

    return not entry.found.is_named and isinstance(error.__cause__, UnsupportedFileError)
