"""The proof that no stored batch was embedded again: the embedder's own log against the tables.

It reads the tables by itself and uses nothing of the engine's, whose work it judges. Times are not
compared: each call names its process, and each record the worker that stored it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import asyncpg

from headrace.demo.calllog import Batch, read_calls

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from uuid import UUID

# A record's name tells the first and the last of its chunks: `batch 12-24`.
RECORDS: Final = """
select document.id, document.name, record.name, worker.pid,
    (record.output ->> 'texts')::integer, chunks.texts
from headrace.records as record
join headrace.workers as worker on worker.id = record.worker
join headrace_documents.documents as document on document.job = record.job
cross join lateral (
    select array_agg(chunk.sha256 order by chunk.ordinal) as texts
    from headrace_documents.chunks as chunk
    where chunk.document = document.id and chunk.generation = document.current_generation
    and chunk.ordinal between split_part(split_part(record.name, ' ', 2), '-', 1)::integer
        and split_part(record.name, '-', 2)::integer
) as chunks
where record.step = 'embed'
"""


@dataclass(frozen=True, slots=True)
class Record:
    """What `once` has stored of one batch."""

    document: UUID
    file: str
    batch: str
    process: int
    counted: int
    texts: Batch

    def __str__(self) -> str:
        return f"{self.file}, {self.batch}"

    @property
    def problem(self) -> str | None:
        """What is wrong with the record itself."""
        if self.counted == len(self.texts):
            return None
        return f"{self}: is a record of {self.counted} texts, and there are {len(self.texts)}"


@dataclass(frozen=True, slots=True)
class Proof:
    """What the comparison showed.

    Attributes:
        stored: Batches with a record.
        kept: Those of them that the killed worker had stored.
        repeated: Those that it had begun, and that were embedded again.
        problems: What must not be; empty when all is well.
    """

    stored: int
    kept: int
    repeated: int
    problems: list[str]


async def prove(database: str, folder: Path, killed: int) -> Proof:
    """Compare the log with the tables.

    Args:
        database: Address of the database.
        folder: Where the log is.
        killed: Process id of the worker that was killed.
    """
    records = await _read_records(database)
    calls = read_calls(folder)
    by_batch: dict[Batch, list[Record]] = defaultdict(list)
    for record in records:
        by_batch[record.texts].append(record)
    problems = [problem for record in records if (problem := record.problem)]
    cut_off: Counter[str] = Counter()
    for texts, same in by_batch.items():
        stored = Counter(record.process for record in same)
        begun = calls.get(texts, Counter())
        # A batch that the killed worker had in hand is stored by another one.
        again = min((begun - stored)[killed], len(same) - stored[killed])
        cut_off[same[0].file] += again
        if len(same) > len({record.document for record in same}):
            problems.append(f"{same[0]}: is stored {len(same)} times")
        problems += _compare(same[0], stored, begun - Counter({killed: again}))
    problems += [
        f"{file}: {count} batches were cut off" for file, count in cut_off.items() if count > 1
    ]
    problems += [
        f"process {process} embedded {len(texts)} texts, of which there is no record"
        for texts, begun in calls.items()
        if texts not in by_batch
        for process in begun
    ]
    kept = sum(record.process == killed for record in records)
    return Proof(len(records), kept, cut_off.total(), problems)


async def _read_records(database: str) -> list[Record]:
    connection = await asyncpg.connect(database)
    try:
        rows = await connection.fetch(RECORDS)
    finally:
        await connection.close()
    return [
        Record(document, file, batch, process, counted, tuple(texts or ()))
        for document, file, batch, process, counted, texts in rows
    ]


def _compare(record: Record, stored: Counter[int], begun: Counter[int]) -> Iterator[str]:
    for process in stored - begun:
        yield f"{record}: was stored by process {process}, which never embedded it"
    for process in begun - stored:
        yield f"{record}: was stored, and embedded again by process {process}"
