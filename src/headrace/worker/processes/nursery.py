"""The worker's end of the template process, and of each step process that was forked from it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import socket
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from headrace.errors import UnavailableError
from headrace.worker.processes.template import START
from headrace.worker.processes.wire import Frame, line_of, lines_of, pack, read_frame

if TYPE_CHECKING:
    from headrace.worker.processes.catalogue import Origin

START_S: Final = 60.0
"""The import of the app takes no longer than this."""
LAST_WORDS_S: Final = 0.2
"""After the end of a process, what it sent before may still be read for so long."""
END_S: Final = 1.0
LOOK_S: Final = 0.005
READ_MOST: Final = 1 << 16
STANDARD_ERROR: Final = 2


class ProcessStartError(UnavailableError):
    """No step process could be started; `detail` is the traceback, where there is one."""

    code = "process_start"

    def __init__(self, reason: str, detail: str | None = None) -> None:
        super().__init__(reason)
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Ending:
    """How a process ended.

    Attributes:
        code: Its exit code; below zero: minus the signal that killed it; None: not known.
        peak: The most KiB that it had in memory.
    """

    code: int | None = None
    peak: int = 0


class StepProcess:
    """One step process.

    Attributes:
        ended: Done when the process has ended.
        calls: Attempts that it was given.
        is_spent: Whether it is to be given no more.
    """

    def __init__(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.number, self._reader, self._writer = number, reader, writer
        self.ended: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self.pid: int | None = None
        self.calls = 0
        self.is_spent = False

    def tell(self, frame: Frame) -> None:
        """Send a frame without waiting until it is read."""
        if not self._writer.is_closing():
            self._writer.writelines(pack(frame))

    async def read(self) -> Frame:
        """The next frame.

        Raises:
            EOFError: The process has ended, or has closed its line.
            OSError: As EOFError.
        """
        return await read_frame(self._reader)

    def has_ended(self, ending: Ending) -> None:
        """Hear of its end."""
        if not self.ended.done():
            self.ended.set_result(ending)

    def close(self) -> None:
        """Close the line."""
        self._writer.transport.abort()


class Nursery:
    """Starts the template, and forks and kills through it."""

    def __init__(self, origin: Origin) -> None:
        """Start the template; the loop must run."""
        self._loop = asyncio.get_running_loop()
        self._line, theirs = socket.socketpair()
        self._line.setblocking(False)  # noqa: FBT003
        with theirs:
            # A session of its own: Ctrl-C reaches the worker alone, which lets its steps finish.
            self._template = subprocess.Popen(
                [sys.executable, "-c", START, str(theirs.fileno()), json.dumps(origin.as_json())],
                stdin=subprocess.DEVNULL,
                stdout=STANDARD_ERROR,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._numbers = itertools.count(1)
        self._processes: dict[int, StepProcess] = {}
        self._buffer = bytearray()
        self._problem: ProcessStartError | None = None
        self.has_ended = False
        self._loop.add_reader(self._line, self._hear)

    async def fork(self) -> StepProcess:
        """Return a new process that has imported the app.

        Raises:
            ProcessStartError: The import failed, or took longer than 60 s.
        """
        ours, theirs = socket.socketpair()
        ours.setblocking(False)  # noqa: FBT003
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        process = StepProcess(next(self._numbers), reader, writer)
        self._processes[process.number] = process
        try:
            with theirs:
                socket.send_fds(self._line, [line_of(fork=process.number)], [theirs.fileno()])
            async with asyncio.timeout(START_S):
                frame = await process.read()
        except TimeoutError:
            self.kill(process)
            raise ProcessStartError(f"the import of the app took over {START_S:g} s") from None
        except (EOFError, OSError):
            await self._hear_of(process)
            reason = "a step process ended before it was ready"
            raise self._problem or ProcessStartError(reason) from None
        except BaseException:
            self.kill(process)
            raise
        if frame.what != "ready":
            raise ProcessStartError(_broken(frame.fields), frame.fields["detail"])
        return process

    def kill(self, process: StepProcess) -> None:
        """Kill a process and all that it started; `process.ended` tells when it is done."""
        with contextlib.suppress(OSError):
            self._line.send(line_of(kill=process.number))
        if self.has_ended:
            self._end(process.number, Ending())

    async def close(self, limit_s: float = END_S) -> None:
        """End the template and every process; returns when they are gone."""
        self._loop.remove_reader(self._line)
        self._line.close()
        end = self._loop.time() + limit_s
        # Without a thread, nothing tells of the end of a child of ours.
        while self._template.poll() is None and self._loop.time() < end:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_S)
        self._template.kill()
        self._template.wait()  # it was killed: this does not wait
        self.has_ended = True
        for number, process in list(self._processes.items()):
            process.has_ended(Ending())
            self._forget(number)
        await asyncio.sleep(0)  # the lines are closed in the next round of the loop

    def _hear(self) -> None:
        try:
            data = self._line.recv(READ_MOST)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        self._buffer += data
        for word in lines_of(self._buffer):
            self._note(word)
        if not data:
            self._loop.remove_reader(self._line)
            self.has_ended = True
            for number in self._processes:  # killed by the kernel, with their parent
                self._end(number, Ending())

    def _note(self, word: dict[str, Any]) -> None:
        if "broken" in word:
            self._problem = ProcessStartError(_broken(word), word["detail"])
        elif "forked" in word:
            process = self._processes.get(word["forked"])
            if process is not None:
                process.pid = word["pid"]
        else:
            if "problem" in word:
                self._problem = ProcessStartError(word["problem"])
            self._end(word["ended"], Ending(word["code"], word["peak"]))

    def _end(self, number: int, ending: Ending) -> None:
        process = self._processes.get(number)
        if process is not None:
            process.has_ended(ending)
            # Not by the end of the file: a program that the step forked may hold the line open.
            self._loop.call_later(LAST_WORDS_S, self._forget, number)

    def _forget(self, number: int) -> None:
        process = self._processes.pop(number, None)
        if process is not None:
            process.close()

    async def _hear_of(self, process: StepProcess) -> None:
        """Wait until it is known why a process does not start."""
        await asyncio.wait({process.ended}, timeout=END_S)
        if not process.ended.done():
            self.kill(process)


def _broken(fields: dict[str, Any]) -> str:
    return f"the app could not be imported in a step process: {fields['broken']}"
