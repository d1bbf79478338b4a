"""Clients that submit over HTTP as fast as they are answered, each on a connection that stays open.

`python -m bench.http_load PORT CLIENTS SECONDS KEY` answers with what they saw as JSON. It is a
process of its own and does nothing but write, read and look at the clock: 64 clients and their
server have to fit on two processors.
"""

import json
import select
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import Final

from bench.figures import percentile
from bench.protocol import PAD

BODY: Final = {"pipeline": "noop", "payload": {"i": 1, "pad": PAD}, "metadata": {"case": "4711"}}
ACCEPTED: Final = 202
STATUS: Final = slice(len(b"HTTP/1.1 "), len(b"HTTP/1.1 202"))
LENGTH: Final = b"content-length: "
END: Final = b"\r\n\r\n"
SILENCE_S: Final = 30.0
READ: Final = 65_536


class Client:
    """One connection, with one request under way."""

    def __init__(self, port: int, request: bytes) -> None:
        self._request, self._answer = request, b""
        self._began = 0.0
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self) -> None:
        """Send the next request; it fits into the socket's buffer."""
        self._began = time.perf_counter()
        self.socket.sendall(self._request)

    def read(self) -> tuple[float, int] | None:
        """Read what came: seconds to the whole answer, and its status; None: not yet."""
        piece = self.socket.recv(READ)
        if not piece:
            raise ConnectionError("the server hung up")
        answer = self._answer = self._answer + piece if self._answer else piece
        head = answer.find(END)
        if head < 0:
            return None
        place = answer.index(LENGTH) + len(LENGTH)
        length = int(answer[place : answer.index(b"\r", place)])
        if len(answer) < head + len(END) + length:
            return None
        self._answer = b""
        return time.perf_counter() - self._began, int(answer[STATUS])


def load(clients: list[Client], seconds: float) -> Iterator[tuple[float, int]]:
    """What every request saw, until the time is over and the last one is answered."""
    poll = select.epoll()
    by_number = {client.socket.fileno(): client for client in clients}
    for number, client in by_number.items():
        poll.register(number, select.EPOLLIN)
        client.send()
    end = time.perf_counter() + seconds
    under_way = len(clients)
    while under_way:
        ready = poll.poll(SILENCE_S)
        if not ready:
            raise TimeoutError(f"no answer within {SILENCE_S:g} s")
        for number, _ in ready:
            client = by_number[number]
            seen = client.read()
            if seen is None:
                continue
            yield seen
            if time.perf_counter() < end:
                client.send()
            else:
                under_way -= 1


def request_of(key: str) -> bytes:
    """A submission."""
    body = json.dumps(BODY).encode()
    head = (
        "POST /v1/jobs HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {key}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def main() -> None:
    """Load, and tell."""
    port, count, seconds, key = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
    request = request_of(key)
    clients = [Client(port, request) for _ in range(count)]
    began, used = time.perf_counter(), time.process_time()
    seen = list(load(clients, seconds))
    lasted, used = time.perf_counter() - began, time.process_time() - used
    waits = [wait for wait, _ in seen]
    told = {
        "rate": len(seen) / lasted,
        "requests": len(seen),
        "refused": Counter(status for _, status in seen if status != ACCEPTED),
        "p50_ms": 1_000 * percentile(waits, 0.5),
        "p99_ms": 1_000 * percentile(waits, 0.99),
        "own_us": 1e6 * used / len(seen),
    }
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
