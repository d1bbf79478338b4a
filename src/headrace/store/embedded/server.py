"""The PostgreSQL server over one home: make the cluster, start, ask, stop.

Its callers hold the home's start lock, so nobody else starts or stops it meanwhile.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from typing import TYPE_CHECKING, Final

from headrace.errors import DatabaseUnavailableError
from headrace.store.embedded.home import SOCKET_NAME
from headrace.store.embedded.probe import find_server_process, session_opens

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.store.embedded.home import Home

START_S: Final = 120.0  # recovery after a crash can read up to max_wal_size again
STOP_S: Final = 60.0
LEFTOVER_S: Final = 30.0
PING_S: Final = 3.0
LARGEST_LOG: Final = 8 * 1024 * 1024

# For a small machine that does other work too. What is not named here has PostgreSQL's default.
SERVER_SETTINGS: Final = {
    "listen_addresses": "",  # the socket alone, and its folder is closed to others
    "unix_socket_permissions": "0700",
    "max_connections": "200",  # a few workers, and the tests' processes
    "shared_buffers": "256MB",  # taken as it is touched, not at the start
    "fsync": "on",  # an accepted job survives a power cut here as in production
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_level": "replica",  # the default: as in production, so that backups can be tried
    "max_wal_size": "2GB",  # a checkpoint per 2 GB or 15 min: under load they cost more than disk
    "min_wal_size": "512MB",  # files of that much are used again: making new ones slows bursts
    "checkpoint_timeout": "15min",
    "autovacuum": "on",
    "jit": "off",  # it costs milliseconds on queries that take microseconds
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
}
# Of a server that may lose everything with the machine. What a killed process or a killed server
# had committed is kept.
FORGETFUL_SETTINGS: Final = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_wal_size": "512MB",  # its folder may lie in memory
    "min_wal_size": "128MB",
}


class Server:
    """One PostgreSQL server; whether it runs is asked of the server, never remembered."""

    def __init__(self, home: Home, *, durable: bool = True) -> None:
        self._home = home
        self._settings = SERVER_SETTINGS if durable else SERVER_SETTINGS | FORGETFUL_SETTINGS

    def is_alive(self) -> bool:
        """True when a new session gets as far as its first query within 3 s."""
        return session_opens(str(self._home.socket), PING_S)

    def ensure_running(self) -> None:
        """Start the server unless it is alive; makes the cluster the first time.

        Raises:
            DatabaseUnavailableError: It did not come up; the server's last words are in the text.
        """
        if not self._home.data.exists():
            self._make_cluster()
        if self.is_alive() or self._outwait_leftover():
            return
        self._start()

    def stop(self) -> None:
        """End all sessions and stop the server; returns when its data is safe on disk."""
        if not self._home.data.exists():
            return
        for mode in ("fast", "immediate"):
            if self._run("pg_ctl", "stop", "-m", mode, "-w", "-t", f"{STOP_S:.0f}").returncode == 0:
                return
            if find_server_process(self._home.data) is None:
                return

    def _make_cluster(self) -> None:
        """Initialise aside and rename, so that a killed `initdb` leaves nothing half made."""
        fresh = self._home.folder / "data.new"
        if fresh.exists():
            shutil.rmtree(fresh)
        fresh.mkdir(mode=0o700)
        self._home.give(fresh)
        result = self._run(
            "initdb",
            *("-U", "postgres", "-A", "trust", "-E", "UTF8"),
            # Built into PostgreSQL: sorts the same on every system and after every upgrade.
            *("--no-locale", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            data=str(fresh),
        )
        if result.returncode != 0:
            raise DatabaseUnavailableError(
                f"the embedded database could not be made in {self._home.folder}:"
                f" {_last_line(result.stderr)}"
            )
        fresh.rename(self._home.data)

    def _start(self) -> None:
        self._prepare_log()
        # Left by a server that was killed. Its number may be a zombie's or another program's by
        # now, which a new server would take for a running one; the folder is this cluster's alone.
        for left in (self._home.socket, self._home.socket.with_name(f"{SOCKET_NAME}.lock")):
            left.unlink(missing_ok=True)
        options = [f"-c {name}={shlex.quote(value)}" for name, value in self._settings.items()]
        options.append(f"-k {shlex.quote(str(self._home.socket_folder))}")
        deadline = time.monotonic() + START_S
        while True:
            said = self._home.log.stat().st_size
            result = self._run(
                *("pg_ctl", "start", "-w", "-t", f"{START_S:.0f}"),
                *("-l", str(self._home.log), "-o", " ".join(options)),
            )
            if result.returncode == 0 and self.is_alive():
                return
            words = self._home.log.read_bytes()[said:].decode(errors="replace")
            # After kill -9 of the server its children hold the memory until they have noticed.
            if "pre-existing shared memory block" not in words or time.monotonic() > deadline:
                raise DatabaseUnavailableError(
                    f"the embedded database did not start: {_last_line(words or result.stderr)}"
                    f" (more in {self._home.log})"
                )
            time.sleep(0.1)

    def _prepare_log(self) -> None:
        log = self._home.log
        if log.exists() and log.stat().st_size > LARGEST_LOG:
            log.replace(log.with_suffix(".log.1"))
        if not log.exists():
            log.touch(mode=0o600)
            self._home.give(log)

    def _outwait_leftover(self) -> bool:
        """Deal with a server that is there but does not answer; True when it does in the end.

        A starter that was killed leaves a server that is still recovering, a stopper one that is
        still stopping, and a crash a number in postmaster.pid that now belongs to another program.
        """
        data = self._home.data
        process = find_server_process(data)
        if process is None:
            return False
        _wait_for(lambda: self.is_alive() or find_server_process(data) is None, LEFTOVER_S)
        if self.is_alive():
            return True
        for number in (signal.SIGQUIT, signal.SIGKILL):
            if find_server_process(data) == process:
                os.kill(process, number)
                _wait_for(lambda: find_server_process(data) is None, 5)
        return False

    def _run(
        self, program: str, *arguments: str, data: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        owner = self._home.owner
        command = [str(self._home.binaries / program), "-D", data or str(self._home.data)]
        # PGOPTIONS, PGPORT and the like of our own environment are none of the server's business.
        environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
        # A file, since the server inherits it: reading a pipe would last as long as the server.
        with tempfile.TemporaryFile("w+", errors="replace") as output:
            result = subprocess.run(
                command + list(arguments),
                check=False,
                cwd=self._home.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in our terminal is not meant for it
                timeout=START_S + STOP_S,
                user=owner and owner.pw_uid,
                group=owner and owner.pw_gid,
                extra_groups=[] if owner else None,
            )
            output.seek(0)
            text = output.read()
        return subprocess.CompletedProcess(result.args, result.returncode, text, text)


def _wait_for(condition: Callable[[], bool], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)


def _last_line(text: str) -> str:
    """What went wrong, in one line: the last FATAL or error, else the last line there is."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    serious = [line for line in lines if "FATAL:" in line or "error:" in line]
    return (serious or lines or ["it said nothing"])[-1]
