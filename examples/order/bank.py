"""A bank, as far as the example needs one: an HTTP server with the payments in its memory.

`PUT /payments/N` charges an account, `DELETE /payments/N` gives the money back. N is the caller's,
and both may be repeated: the second time changes nothing. A payment that was taken back before it
was made is never made.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass
class Payment:
    """What the bank knows of a number.

    Attributes:
        calls: How often it was asked to charge, and to give back.
    """

    account: str = ""
    charged: int = 0
    refunded: int = 0
    is_void: bool = False
    calls: tuple[int, int] = (0, 0)


class Bank:
    """Runs inside a `with` block; `address` is its URL."""

    def __init__(self) -> None:
        self.payments: dict[str, Payment] = {}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def address(self) -> str:
        """Where it is served."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def paid(self, account: str) -> int:
        """What an account has paid and not got back, in cents."""
        mine = [payment for payment in self.payments.values() if payment.account == account]
        return sum(payment.charged - payment.refunded for payment in mine)

    def charge(self, number: str, account: str, cents: int) -> HTTPStatus:
        """Charge an account, once."""
        with self._lock:
            payment = self.payments.setdefault(number, Payment())
            payment.calls = (payment.calls[0] + 1, payment.calls[1])
            if payment.is_void:
                return HTTPStatus.CONFLICT
            payment.account, payment.charged = account, cents
            return HTTPStatus.OK

    def refund(self, number: str) -> HTTPStatus:
        """Give back what was charged, once, and charge nothing under this number any more."""
        with self._lock:
            payment = self.payments.setdefault(number, Payment())
            payment.calls = (payment.calls[0], payment.calls[1] + 1)
            payment.refunded, payment.is_void = payment.charged, True
            return HTTPStatus.OK


def _handler(bank: Bank) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            asked = json.loads(self.rfile.read(length))
            self._answer(bank.charge(self._number, asked["account"], asked["cents"]))

        def do_DELETE(self) -> None:
            self._answer(bank.refund(self._number))

        @property
        def _number(self) -> str:
            return self.path.removeprefix("/payments/")

        def _answer(self, status: HTTPStatus) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    return Handler
