"""A small parent process that keeps one worker process alive.

A worker that crashed, or was ended because its loop stood still, is started again after a wait that
grows with each failure. A worker that fails to start, or that ends on purpose, ends its supervisor
with the same exit code.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Final

from headrace.store.failures import Backoff
from headrace.telemetry.events import emit
from headrace.telemetry.worker_events import WorkerCrashed
from headrace.worker.lifeline import ENDED, READY, VARIABLE
from headrace.worker.watchdog import EXIT_CODE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.worker.timing import Timing

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
LOOK_S: Final = 1.0
"""Nothing waits for this long: it only bounds the harm of a wake-up that was lost."""


def supervise(arguments: Sequence[str], timing: Timing) -> int:
    """Run `python -m headrace <arguments>` until it ends on purpose; for the main thread.

    SIGTERM and SIGINT are passed on. The process gets a group of its own, which is killed when the
    process has ended, so that nothing that its steps started outlives it.

    Returns:
        The exit code for this process: that of the worker, or 128 + n when signal n ended it after
        it was asked to stop.
    """
    command = [sys.executable, "-m", "headrace", *arguments]
    return Supervisor(command, timing).run()


@dataclass(slots=True)
class _Child:
    """One worker process, and what it said."""

    process: subprocess.Popen[bytes]
    line: socket.socket
    started_s: float
    is_ready: bool = False
    has_ended: bool = False

    def listen(self) -> bool:
        """Take in what it has said since the last time; False once it can say no more."""
        try:
            while words := self.line.recv(64):
                self.is_ready = self.is_ready or READY in words
                self.has_ended = self.has_ended or ENDED in words
        except BlockingIOError:
            return True
        except ConnectionError:
            pass
        return False

    def is_over(self) -> bool:
        """Whether the process has ended."""
        if self.process.poll() is None:
            return False
        self.listen()
        return True

    def close(self) -> None:
        """Kill what is left of its group."""
        self.line.close()
        with suppress(ProcessLookupError, PermissionError):  # macOS: of zombies
            os.killpg(self.process.pid, signal.SIGKILL)


class Supervisor:
    """Starts a command, again and again if it must be."""

    def __init__(self, command: Sequence[str], timing: Timing) -> None:
        """Nothing is started before `run`.

        Args:
            command: The worker process; it uses `Lifeline` to say how it does.
            timing: The waits before a restart, and the time that a second signal leaves.
        """
        self._command = list(command)
        self._backoff = Backoff(
            timing.restart_first.total_seconds(), timing.restart_most.total_seconds()
        )
        self._calm_s = timing.restart_most.total_seconds()
        self._hurry_s = (timing.release + timing.cancel_kill).total_seconds()
        self._signals = 0
        self._kill_at_s: float | None = None
        self._was_ready = False
        self._wakeup: socket.socket

    def run(self) -> int:
        """Keep the command alive until it ends on purpose or is asked to; gives the exit code."""
        self._wakeup, sender = socket.socketpair()
        self._wakeup.settimeout(0)
        sender.settimeout(0)
        # The handlers do nothing: what arrived is read from the socket, which interrupts no code.
        handled = (*STOP_SIGNALS, signal.SIGCHLD)
        before = {number: signal.signal(number, lambda *_: None) for number in handled}
        previous = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
        try:
            return self._keep_alive()
        finally:
            signal.set_wakeup_fd(previous)
            for number, handler in before.items():
                signal.signal(number, handler)
            self._wakeup.close()
            sender.close()

    def _keep_alive(self) -> int:
        while True:
            child = self._start()
            try:
                self._wait_for(child)
            finally:
                if child.process.poll() is None:  # this process fails: its worker goes with it
                    child.process.kill()
                    child.process.wait()
                child.close()
            self._was_ready = self._was_ready or child.is_ready
            code = child.process.returncode
            if self._signals or self._is_final(child):
                return code if code >= 0 else 128 - code
            if monotonic() - child.started_s > self._calm_s:
                self._backoff.reset()
            delay = self._backoff.next_s()
            _tell_crash(child, delay)
            self._rest(delay)
            if self._signals:
                return 0

    def _is_final(self, child: _Child) -> bool:
        """Whether an end that nobody asked for is one that a new process would not better."""
        code = child.process.returncode
        if code == EXIT_CODE or code < 0:
            return False
        if child.has_ended:
            return True
        # It failed to start: for good if none ever did, else the database may be away just now.
        return not child.is_ready and not self._was_ready

    def _start(self) -> _Child:
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                self._command,
                env={**os.environ, VARIABLE: str(theirs.fileno())},
                pass_fds=(theirs.fileno(),),
                process_group=0,  # Ctrl-C in a terminal reaches the worker once, through us
            )
        ours.settimeout(0)
        return _Child(process, ours, monotonic())

    def _wait_for(self, child: _Child) -> None:
        listening = True
        while not child.is_over():
            sources = [self._wakeup, child.line] if listening else [self._wakeup]
            readable, _, _ = select.select(sources, [], [], LOOK_S)
            if child.line in readable:
                listening = child.listen()
            for number in self._read_signals():
                child.process.send_signal(number)
            if self._kill_at_s is not None and monotonic() > self._kill_at_s:
                child.process.kill()

    def _rest(self, delay_s: float) -> None:
        until = monotonic() + delay_s
        while not self._signals and (left := until - monotonic()) > 0:
            select.select([self._wakeup], [], [], left)
            self._read_signals()

    def _read_signals(self) -> list[int]:
        """The signals to pass on that came since the last time."""
        with suppress(BlockingIOError):
            stops = [number for number in self._wakeup.recv(256) if number in STOP_SIGNALS]
            self._signals += len(stops)
            if self._signals > 1 and self._kill_at_s is None:
                self._kill_at_s = monotonic() + self._hurry_s
            return stops
        return []


def _tell_crash(child: _Child, delay_s: float) -> None:
    code = child.process.returncode
    reason = "it ended itself to be replaced" if code == EXIT_CODE else "it ended unexpectedly"
    emit(
        WorkerCrashed(
            pid=child.process.pid,
            reason=f"killed by {signal.Signals(-code).name}" if code < 0 else reason,
            exit_code=code if code >= 0 else None,
            signal=signal.Signals(-code).name if code < 0 else None,
            retry_in_s=round(delay_s, 3),
        )
    )
