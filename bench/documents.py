"""The work about documents: a worker ingests a corpus; the embedder alone is its floor."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Final

from bench.corpus import write_corpus
from bench.documents_alone import EMBEDDER
from bench.errors import BenchError
from bench.figures import FLOOR
from bench.lab import Lab
from bench.processors import memory_mib, used
from bench.runs import Run
from bench.subjects import Subject

Values = Mapping[str, float]

JOBS_AT_ONCE: Final = 10  # the setting's default
POLL_S: Final = 0.2  # each look costs the measured server a millisecond
LIMIT_S: Final = 600.0
# From the first job's start to the last one's end, by the server's clock.
MEASURED: Final = """
select extract(epoch from max(finished_at) - min(started_at))::float8 as seconds,
    count(*) filter (where job.state <> 'completed') as failed, sum(chunks_total)::bigint as chunks
from headrace_documents.documents as document join headrace.jobs as job on job.id = document.job
where document.owner = 'default'
"""
ENDED: Final = """
select count(*) from headrace.jobs where state in ('completed', 'failed', 'cancelled')
"""


async def documents(lab: Lab, subject: Subject) -> Values:
    """`chunks` a second; of headrace also `documents` a minute, and where its time goes.

    The shares are of the processor time that the worker, its step processes and the server used:
    computing in the model, in the step processes, in the server, on the worker's event loop.
    """
    with TemporaryDirectory() as folder:
        corpus = Path(folder, "corpus")
        write_corpus(corpus, lab.sizes.documents)
        if subject.name == FLOOR:
            return await _alone(lab, subject, corpus)
        return await _ingested(lab, subject, corpus, Path(folder, "files"))


async def _alone(lab: Lab, subject: Subject, corpus: Path) -> Values:
    # It needs the model and the harness's environment, and nothing of the database.
    alone = replace(subject, module="bench.documents_alone", requirements=())
    async with lab.run(alone) as run:
        answer = await run.command("embed", corpus, JOBS_AT_ONCE)
    return {"chunks": answer["chunks"] / answer["elapsed"]}


async def _ingested(lab: Lab, subject: Subject, corpus: Path, files: Path) -> Values:
    ours = replace(
        subject,
        module="bench.documents_subject",
        environment={
            "HEADRACE_LOG_LEVEL": "WARNING",
            "HEADRACE_DOCUMENTS_FOLDER": str(files),
            "HEADRACE_DOCUMENTS_EMBEDDER": EMBEDDER,
        },
        worker=tuple(
            "bench.documents_subject:app" if word.startswith("bench.") else word
            for word in subject.worker
        ),
    )
    async with lab.run(ours) as run:
        await run.command("setup")
        worker = await run.start_worker("documents", JOBS_AT_ONCE)
        await run.command("warm-up", corpus)
        warm = await run.connection.fetchval(ENDED)
        await run.command("add", corpus)
        await run.settle()
        backend = run.connection.get_server_pid()
        before = used(worker, backend)
        await run.command("resume")
        await _ended(run, warm + lab.sizes.documents)
        spent = used(worker, backend).since(before)
        row = await run.connection.fetchrow(MEASURED)
        memory = memory_mib(worker)
    if row is None or row["failed"]:
        raise BenchError(f"{row and row['failed']} documents failed")
    share = 100 / sum(spent)
    return {
        "documents": lab.sizes.documents / row["seconds"] * 60,
        "chunks": row["chunks"] / row["seconds"],
        "embedding": spent.threads * share,
        "parsing": spent.children * share,
        "storing": spent.database * share,
        "engine": spent.loop * share,
        "held": memory,
    }


async def _ended(run: Run, jobs: int) -> None:
    end = monotonic() + LIMIT_S
    while await run.connection.fetchval(ENDED) < jobs:
        if monotonic() > end:
            raise BenchError(f"{jobs} documents were not ingested within {LIMIT_S:g} s")
        await asyncio.sleep(POLL_S)
