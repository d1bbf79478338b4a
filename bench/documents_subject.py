"""The pipeline `documents` on a corpus of files, as the benchmark runs it.

`app` is what the measured worker carries; the commands are those of the harness:

    setup               migrate the database
    add FOLDER          add the folder's files, of which none is begun before `resume`
    warm-up FOLDER      add some of them and wait until they are ingested
    resume              let the worker begin
"""

import asyncio
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from headrace import Headrace
from headrace.pipelines.documents import Added, Library, documents

QUEUE = "default"
WARM_UP = 6
"""Files, of all kinds: more than there are processes that parse."""
WARM_UP_OWNER = "warm-up"

app = Headrace(pipelines=[documents], database=os.environ.get("BENCH_DSN"))


async def add(paths: Iterable[Path], owner: str = "default") -> list[Added]:
    """Add files, one after the other."""
    library = Library(app)
    return [await library.add(path, owner=owner) for path in paths]


async def answer(command: str, paths: list[Path]) -> None:
    """Carry out one command."""
    if command == "setup":
        await app.migrate()
        return
    async with app:
        if command == "warm-up":
            for added in await add(paths[:WARM_UP], WARM_UP_OWNER):
                await added.job.result()
        elif command == "add":
            await app.pause_queue(QUEUE)
            await add(paths)
        else:
            await app.resume_queue(QUEUE)


if __name__ == "__main__":
    files = [path for folder in sys.argv[2:] for path in sorted(Path(folder).iterdir())]
    asyncio.run(answer(sys.argv[1], files))
    sys.stdout.write(json.dumps({}) + "\n")
