"""A shell in a page's project, which keeps its variables from one command to the next."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from contextlib import suppress
from pathlib import Path

MARK = "-- end of a command:"


class Shell:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        commands = Path(sys.executable).parent
        self._environment = {**os.environ, "PATH": f"{commands}:{os.environ['PATH']}"}
        self._shell: Process | None = None
        self._background: list[Process] = []

    async def run(self, command: str) -> tuple[int, str]:
        """The exit code of a command, and what it printed."""
        shell = self._shell = self._shell or await self._start()
        assert shell.stdin
        assert shell.stdout
        shell.stdin.write(f"{command}\nprintf '\\n{MARK} %s\\n' $?\n".encode())
        await shell.stdin.drain()
        printed = []
        while line := (await shell.stdout.readline()).decode():
            if line.startswith(MARK):
                return int(line.removeprefix(MARK)), "".join(printed)
            printed.append(line)
        raise AssertionError(f"the shell ended: {command}\n{''.join(printed)}")

    async def start(self, command: str) -> None:
        """Start a command that runs until the page ends."""
        with (self._folder / f".background-{len(self._background)}.log").open("wb") as log:
            self._background.append(
                await asyncio.create_subprocess_shell(
                    f"exec {command}",
                    cwd=self._folder,
                    env=self._environment,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=STDOUT,
                )
            )

    def said_behind(self) -> str:
        """What the commands that run until the page ends have said last."""
        logs = sorted(self._folder.glob(".background-*.log"))
        return "".join(f"\n{log.name}: {log.read_text()[-2000:]}" for log in logs)

    async def close(self) -> None:
        for process in self._background:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        for process in self._background:
            await process.wait()
        if self._shell is not None:
            assert self._shell.stdin
            self._shell.stdin.close()
            await self._shell.wait()

    async def _start(self) -> Process:
        return await asyncio.create_subprocess_exec(
            "bash", cwd=self._folder, env=self._environment, stdin=PIPE, stdout=PIPE, stderr=STDOUT
        )
