"""The process from which the step processes are forked, and that none of them outlives.

It imports the app once, forks on demand, and tells the worker how each child ended. When a child
ends, the rest of its process group and whatever slipped out of it is killed. When the worker ends,
by whatever signal, all of them are. It runs no code of a step, so it is never busy.

Where the app's import starts threads or opens connections, a fork would copy half of them: then it
starts anew without the app, and each child imports it. So it is on macOS, whose libraries do not
survive a fork.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import socket
import sys
import traceback
from collections import deque
from time import monotonic
from typing import Any, Final

from headrace.worker.processes import system
from headrace.worker.processes.catalogue import Catalogue, Origin
from headrace.worker.processes.child import Child
from headrace.worker.processes.wire import line_of, lines_of

START: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2])['path']; "
    "from headrace.worker.processes.template import main; main()"
)
"""What the interpreter is started with; arguments: the descriptor of the line, the origin."""
BARE: Final = "bare"
READ_MOST: Final = 1 << 16
DESCRIPTORS_MOST: Final = 64
PATIENCE_S: Final = 1.0


def main() -> None:
    """Serve the worker at the other end of the line until it ends."""
    line = socket.socket(fileno=int(sys.argv[1]))
    line.set_inheritable(False)
    origin = Origin.from_json(json.loads(sys.argv[2]))
    # A service manager sends these to every process of a unit; the worker decides what they mean.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stay)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr] # no lines of the dead are lost
    system.adopt_orphans()
    catalogue = Catalogue(origin)
    if system.IS_LINUX and BARE not in sys.argv[3:]:
        _import(catalogue, line)
    gc.freeze()  # so that collections in the children do not copy every page
    Template(line, catalogue).serve()


def _import(catalogue: Catalogue, line: socket.socket) -> None:
    sockets = system.sockets()
    try:
        catalogue.load()
    except BaseException as error:  # noqa: BLE001 - a module may raise anything
        text = "".join(traceback.format_exception(error))
        line.sendall(line_of(broken=f"{type(error).__name__}: {error}", detail=text))
        sys.exit(1)
    if not system.can_be_forked(sockets):
        line.set_inheritable(True)
        command = [sys.executable, "-c", START, *sys.argv[1:3], BARE]
        os.execv(sys.executable, command)  # noqa: S606 - ourselves


def _stay(*_: object) -> None:
    """A handler in Python, unlike SIG_IGN, does not pass to programs that a step starts."""


class Template:
    """Forks, reaps and kills."""

    def __init__(self, line: socket.socket, catalogue: Catalogue) -> None:
        self._line, self._catalogue = line, catalogue
        self._numbers: dict[int, int] = {}
        self._descriptors: deque[int] = deque()
        self._buffer = bytearray()
        self._ears, mouth = socket.socketpair()
        self._ears.setblocking(False)  # noqa: FBT003
        mouth.setblocking(False)  # noqa: FBT003
        self._mouth = mouth

    def serve(self) -> None:
        """Return when the worker has ended, and everything here with it."""
        signal.signal(signal.SIGCHLD, _stay)
        signal.set_wakeup_fd(self._mouth.fileno(), warn_on_full_buffer=False)
        while True:
            ready, _, _ = select.select([self._line, self._ears], [], [])
            if self._ears in ready:
                with contextlib.suppress(BlockingIOError):
                    while self._ears.recv(READ_MOST):
                        pass
                self._reap()
            if self._line in ready and not self._hear():
                break
        self._end_all()

    def _hear(self) -> bool:
        """Do what the worker says; False when it is gone."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self._line, READ_MOST, DESCRIPTORS_MOST)
        except ConnectionError:
            return False
        self._descriptors.extend(descriptors)
        self._buffer += data
        for order in lines_of(self._buffer):
            self._obey(order)
        return bool(data)

    def _obey(self, order: dict[str, Any]) -> None:
        number = order.get("fork")
        if number is not None:
            self._fork(number, self._descriptors.popleft())
            return
        for process, known in self._numbers.items():
            if known == order["kill"]:
                _kill_group(process)

    def _fork(self, number: int, descriptor: int) -> None:
        parent = os.getpid()
        try:
            process = os.fork()
        except OSError as error:
            os.close(descriptor)
            self._say(ended=number, code=None, peak=0, problem=f"no process could be made: {error}")
            return
        if not process:
            status = 1
            try:
                self._become_child(parent, socket.socket(fileno=descriptor))
                status = 0
            except BaseException:  # noqa: BLE001 - nothing of a child may run the template's code
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        os.close(descriptor)
        with contextlib.suppress(OSError):  # here and there, so that neither can be too early
            os.setpgid(process, process)
        self._numbers[process] = number
        self._say(forked=number, pid=process)

    def _become_child(self, parent: int, line: socket.socket) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setpgid(0, 0)
        system.die_with(parent)
        system.adopt_orphans()
        system.be_first_to_go()
        for end in (self._line, self._ears, self._mouth):
            end.close()
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._numbers.clear()
        Child(line, self._catalogue).serve()

    def _reap(self) -> None:
        """Tell of those that have ended, and end what they left behind."""
        while (ended := _ended_child()) is not None:
            _kill_group(ended)  # before the number is free for others
            _, status, usage = os.wait4(ended, 0)
            number = self._numbers.pop(ended, None)
            if number is not None:
                code = os.waitstatus_to_exitcode(status)
                self._say(ended=number, code=code, peak=usage.ru_maxrss)
        for orphan in system.children() - self._numbers.keys():
            with contextlib.suppress(OSError):
                os.kill(orphan, signal.SIGKILL)

    def _say(self, **fields: object) -> None:
        with contextlib.suppress(OSError):  # the worker is gone, as the next read will tell
            self._line.sendall(line_of(**fields))

    def _end_all(self) -> None:
        for process in self._numbers:
            _kill_group(process)
        end = monotonic() + PATIENCE_S
        while (self._numbers or system.children()) and monotonic() < end:
            select.select([self._ears], [], [], 0.05)
            self._reap()


def _ended_child() -> int | None:
    """A child that has ended and is not yet reaped."""
    with contextlib.suppress(ChildProcessError):
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return None if ended is None else ended.si_pid
    return None


def _kill_group(process: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(process, signal.SIGKILL)
