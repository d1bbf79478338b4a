"""`headrace demo`: from the submission to the last line."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

from headrace import Headrace, HeadraceError
from headrace.demo.files import count_sections, find_documents, project_folder, write_broken
from headrace.demo.kill import Amount, Kill, Recovery
from headrace.demo.pipeline import documents, library
from headrace.demo.place import fresh_database
from headrace.demo.problem import DemoError
from headrace.demo.proof import Proof, prove
from headrace.demo.results import Results, collect, write_index
from headrace.demo.show import Show

LIMIT_S: Final = 90.0
"""A run takes about 20 s: one that takes so long hangs."""


def main(*, keep: bool = False) -> int:
    """Run the demo.

    Args:
        keep: Leave the folder with the index and the logs behind.

    Returns:
        The exit code: 0 when all went well, 1 when not, after a line that says what went wrong.
    """
    data_folder = os.environ.get("HEADRACE_DATA_DIR")
    # The demo has a database and a life of its own: the settings are for the user's projects.
    for name in [name for name in os.environ if name.startswith("HEADRACE_")]:
        del os.environ[name]
    folder = Path(tempfile.mkdtemp(prefix="headrace-demo-"))
    show = Show()
    try:
        asyncio.run(_run(folder, Path(data_folder) if data_folder else None, show))
    except (DemoError, HeadraceError) as error:
        keep = True
        sys.stdout.flush()
        sys.stderr.write(f"demo failed: {error}; the logs are in {folder}\n")
        return 1
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
    return 0


async def _run(folder: Path, data_folder: Path | None, show: Show) -> None:
    async with fresh_database(data_folder) as database:
        app = Headrace(pipelines=[documents, library], database=database)
        await app.migrate()
        async with app:
            try:
                async with asyncio.timeout(LIMIT_S):
                    await _play(app, database, folder, show)
            except TimeoutError:
                raise DemoError(f"it did not end within {LIMIT_S:.0f} s") from None


async def _play(app: Headrace, database: str, folder: Path, show: Show) -> None:
    project = project_folder()
    files = [*find_documents(project), write_broken(folder)]
    jobs = await app.submit_many(documents, files)
    show.say(f"working in {folder}, on a database of its own")
    show.say(f"{len(jobs)} jobs: one for each file of {project}, and one for a broken file")
    with Kill(app, database, folder, show) as kill:
        await kill.happen(Amount(len(files), count_sections(files)))
        results = await collect(jobs, files)
        index = await write_index(app, project.name, results.pages)
        recovery = await kill.recovery(jobs)
        proof = await prove(database, kill.log, kill.victim)
    if proof.problems:
        raise DemoError(f"{len(proof.problems)} steps went wrong: {proof.problems[0]}")
    _tell(show, results, recovery, proof)
    show.say(f"the index, which one more job wrote to {Path(index).name} (--keep leaves it there):")
    show.index(results.pages)
    show.say(
        f"demo ok: jobs={len(jobs) + 1} steps={proof.stored} resumed={recovery.jobs}"
        f" recovery_s={recovery.seconds:.1f}"
    )


def _tell(show: Show, results: Results, recovery: Recovery, proof: Proof) -> None:
    refusal = results.refusal
    show.say(f"failed, and why: {refusal.message} ({refusal.cause}, job {refusal.job_id})")
    show.say(
        f"resumed: {recovery.jobs} jobs that worker A was running;"
        f" worker B had all of them {recovery.seconds:.1f} s after the kill"
    )
    show.say(
        f"compared with the steps' own log: of {proof.kept} steps and items that worker A had"
        f" finished none was started again; {proof.repeated} that were cut off ran again"
    )
