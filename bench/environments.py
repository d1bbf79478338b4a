"""An environment of its own for each subject, made once under .bench/."""

import asyncio
import importlib.util
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.errors import BenchError
from bench.subjects import HOME, Subject

INSTALL_LIMIT_S = 300.0


async def prepare(subject: Subject) -> None:
    """Make the subject's environment, unless one with these requirements is there.

    Raises:
        BenchError: It could not be installed.
    """
    if not subject.requirements:
        return
    folder = HOME / subject.name
    made = folder / "requirements.txt"
    wanted = "\n".join(subject.requirements)
    if made.is_file() and made.read_text() == wanted:
        return
    shutil.rmtree(folder, ignore_errors=True)
    HOME.mkdir(exist_ok=True)
    (HOME / ".gitignore").write_text("*\n")
    await _run(sys.executable, "-m", "venv", "--without-pip", str(folder))
    await _run(*_installer(subject.python), *subject.requirements)
    made.write_text(wanted)


def _installer(python: Path) -> Sequence[str]:
    if importlib.util.find_spec("uv"):
        return [sys.executable, "-m", "uv", "pip", "install", "--python", str(python)]
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", "--python", str(python)]
    return ["python3", "-m", "pip", "--python", str(python), "install"]


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), INSTALL_LIMIT_S)
    except TimeoutError as error:
        process.kill()
        message = f"{command[0]} took over {INSTALL_LIMIT_S:g} s"
        raise BenchError(message) from error
    if process.returncode:
        lines = output.decode(errors="replace").strip().splitlines() or ["no output"]
        raise BenchError(lines[-1])
