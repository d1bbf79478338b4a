from __future__ import annotations

import signal
import subprocess
import sys

from headrace.testing import PubSubServer
from tests.pubsub.conformance.site import Site


class TestProgram:
    def test_it_serves_until_it_is_told_to_end(self) -> None:
        command = [sys.executable, "-m", "headrace.testing.pubsub", "--port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                lines = [process.stdout.readline().strip() for _ in range(2)]
                name, _, address = lines[0].partition("=")
                assert (name, lines[1]) == (
                    "PUBSUB_EMULATOR_HOST",
                    "PUBSUB_PROJECT_ID=emulator-project",
                )
                site = Site("headrace", address)
                assert site.publish(site.topic(), b"x")
                site.close()
                process.send_signal(signal.SIGTERM)
                assert process.wait(10) == 0
            finally:
                process.kill()

    def test_a_port_that_is_taken_is_said_in_a_line(self, server: PubSubServer) -> None:
        port = server.address.rpartition(":")[2]
        command = [sys.executable, "-m", "headrace.testing.pubsub", "--port", port]
        run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
        assert run.returncode == 1
        assert run.stderr.startswith(f"cannot listen on port {port}: ")
        assert run.stderr.endswith("give another by --port\n")
