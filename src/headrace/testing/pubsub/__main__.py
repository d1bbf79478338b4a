"""The server as a program, in place of Google's emulator: `python -m headrace.testing.pubsub`."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from typing import Final

from headrace.testing.pubsub.server import PROJECT, PubSubServer

EMULATORS_PORT: Final = 8085  # where Google's emulator listens


def main() -> None:
    """Serve until SIGINT or SIGTERM; the first lines are the variables that clients need."""
    parser = argparse.ArgumentParser(
        prog="python -m headrace.testing.pubsub",
        description="Serve Pub/Sub on this machine, for tests. Nothing is kept when it ends.",
    )
    parser.add_argument(
        "--port", type=int, default=EMULATORS_PORT, help="%(default)s unless given; 0: a free one"
    )
    parser.add_argument("--project", default=PROJECT, help="%(default)s unless given")
    given = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        with PubSubServer(port=given.port, project=given.project) as server:
            for name, value in server.environment.items():
                sys.stdout.write(f"{name}={value}\n")
            sys.stdout.flush()
            stop.wait()
    except OSError as error:
        parser.exit(1, f"cannot listen on port {given.port}: {error}; give another by --port\n")


if __name__ == "__main__":
    main()
