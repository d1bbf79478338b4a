"""The servers of the suite.

Without more it is headrace's own. HEADRACE_TEST_PSTEST is the program of tests/pubsub/pstest, which
`make test-system` builds; then it is that one, Google's.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator

import pytest

from headrace.testing import PubSubServer
from tests.pubsub.conformance.site import SHORTEST, Site


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """The server that is tried."""
    program = os.environ.get("HEADRACE_TEST_PSTEST")
    if program:
        yield from pstest_site(program)
        return
    with PubSubServer(least_ack_deadline=SHORTEST) as server:
        site = Site("headrace", server.address)
        yield site
        site.close()


def pstest_site(program: str) -> Iterator[Site]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with subprocess.Popen([program, address], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith(b"listening on")
            site = Site("pstest", address)
            yield site
            site.close()
        finally:
            process.kill()
