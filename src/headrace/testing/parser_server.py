"""A parser elsewhere, over real HTTP: takes files, and calls back, signed, when they are parsed."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import json
import random
import re
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias
from urllib.parse import parse_qs, urlsplit

from headrace.testing.fake_server import Asked, FakeServer, no_such_path, refusal
from headrace.testing.http_threads import Reply, Request

if TYPE_CHECKING:
    from types import TracebackType

PARSE: Final = "/v1/parse"
RESULTS: Final = "/v1/results/"
LLAMA: Final = "/api/v2/parse"
LLAMA_UPLOAD: Final = f"{LLAMA}/upload"
TRIES: Final = 3
RETRY_S: Final = 0.2
CALL_S: Final = 30.0
_BOUNDARY: Final = re.compile(r'boundary="?([^";]+)"?')
_NAME: Final = re.compile(r'name="([^"]*)"')
_FILE_NAME: Final = re.compile(r'filename="([^"]*)"')

Kind: TypeAlias = Literal["generic", "stamped", "llamaparse"]
Parse: TypeAlias = Callable[[str, bytes], str]


@dataclass(frozen=True, slots=True)
class ParseCall:
    """A file that was handed over.

    Attributes:
        id: The server's own id of its job.
        name: Of the file.
        data: The file.
        fields: The other fields of the form.
        callback_url: Where the answer goes.
        key: With which it is signed.
        idempotency_key: The header of that name.
    """

    id: str
    name: str
    data: bytes = field(repr=False)
    fields: Mapping[str, str] = field(repr=False)
    callback_url: str
    key: str = field(repr=False)
    idempotency_key: str | None

    @property
    def job(self) -> str:
        """The job that waits, from the callback's address."""
        return self._asked("job")

    @property
    def run(self) -> int:
        """The run of that job."""
        return int(self._asked("run"))

    def _asked(self, name: str) -> str:
        return parse_qs(urlsplit(self.callback_url).query)[name][0]


@dataclass(frozen=True, slots=True)
class Callback:
    """A callback that was sent; `status` is 0 where nobody answered."""

    call: ParseCall
    headers: Mapping[str, str]
    body: bytes
    status: int


def read_text(name: str, data: bytes) -> str:  # noqa: ARG001 - parsers may go by the name
    """The Markdown that is made of a file unless a test says otherwise: its text."""
    return data.decode(errors="replace")


class ParserServer(FakeServer):
    """Takes files as the external parser of documents does, and calls back after a while.

    with ParserServer(delay_s=0.1) as server:
        ...  # HEADRACE_DOCUMENTS_PARSER_URL is server.url, .._PARSER_API_KEY is server.api_key

    Attributes:
        calls: The files that were taken, in order; one whose key was known is not taken again.
        callbacks: The callbacks that were sent, each try, in order.
        silent: While it is true, nobody is called back.
        busy: While it is true, `llamaparse` has no text of any file yet.
    """

    paths = (PARSE, LLAMA_UPLOAD)

    def __init__(
        self,
        *,
        kind: Kind = "generic",
        delay_s: float = 2.0,
        failure_rate: float = 0.0,
        parse: Parse = read_text,
        gives_address: bool = False,
        api_key: str | None = "test-key",
        requests_per_second: int | None = None,
        port: int = 0,
        seed: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """A server that does not listen yet.

        Args:
            kind: What it speaks.
            delay_s: Between taking a file and calling back.
            failure_rate: The share of files that it fails to parse, 0 to 1, by the seed.
            parse: Makes Markdown of the name and the content of a file.
            gives_address: Whether callbacks say where the Markdown is, in place of it.
            api_key: What callers must send as `Authorization: Bearer ...`; None asks for nothing.
            requests_per_second: More of them in any second are refused with status 429.
            port: Where it listens; 0: a free one.
            seed: Of the failures.
            clock: Seconds, for the rate limit.
        """
        super().__init__(
            api_key=api_key, requests_per_second=requests_per_second, port=port, clock=clock
        )
        self.kind, self.delay_s, self.failure_rate = kind, delay_s, failure_rate
        self.parse, self.gives_address = parse, gives_address
        self.silent = self.busy = False
        self.calls: list[ParseCall] = []
        self.callbacks: list[Callback] = []
        self._random = random.Random(seed)  # noqa: S311 - failures that can be had again
        self._known: dict[str, ParseCall] = {}
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []

    @property
    def url(self) -> str:
        """What HEADRACE_DOCUMENTS_PARSER_URL is set to."""
        base = self.base_url
        return base.removesuffix("/v1") if self.kind == "llamaparse" else f"{base}/parse"

    def answer(self, asked: Asked, fault: StrEnum | None) -> Reply:  # noqa: ARG002 - has none of its own
        """Take a file."""
        call = self._take(asked)
        body = {"id": call.id, "status": "PENDING"}
        return Reply(HTTPStatus.ACCEPTED, json.dumps(body).encode())

    def note(self, asked: Asked, reply: Reply, fault: StrEnum | None) -> None:
        """Nothing: `calls` has what was taken."""

    def get(self, request: Request) -> Reply:
        """The Markdown of a file that was taken."""
        path = urlsplit(request.path).path
        key = path.rpartition("/")[2]
        call = next((call for call in self.calls if call.id == key), None)
        if call is None:
            raise no_such_path(request)
        text = self.parse(call.name, call.data)
        if path.startswith(RESULTS):
            return Reply(200, text.encode(), content_type="text/markdown; charset=utf-8")
        if self.busy:
            return Reply(200, json.dumps({"job": {"id": call.id, "status": "RUNNING"}}).encode())
        pages = [{"page_number": n, "markdown": page} for n, page in enumerate(text.split("\f"), 1)]
        job = {"id": call.id, "status": "COMPLETED"}
        return Reply(200, json.dumps({"job": job, "markdown": {"pages": pages}}).encode())

    def call_back(
        self,
        call: ParseCall,
        said: Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        at: float | None = None,
        nonce: str | None = None,
    ) -> Callback:
        """Call back now, and wait for the answer; what is left out is as it would be.

        Where an event loop of this process answers, call it by `asyncio.to_thread`.

        Args:
            call: What is answered.
            said: The body.
            key: Signs it.
            at: When it says that it was signed, seconds since 1970.
            nonce: Tells it from others.
        """
        body = json.dumps(self._said(call, nonce, at) if said is None else said).encode()
        headers = self.sign(call, body, key=key, at=at, nonce=nonce)
        return self.send(call, headers, body)

    def sign(
        self,
        call: ParseCall,
        body: bytes,
        *,
        key: str | None = None,
        at: float | None = None,
        nonce: str | None = None,
    ) -> dict[str, str]:
        """The headers of a callback."""
        key = key or call.key
        timestamp = str(int(time.time() if at is None else at))
        nonce = nonce or uuid.uuid4().hex
        match self.kind:
            case "llamaparse":
                return {"LC-Signature": f"sha256={_hmac(key, body)}"}
            case "stamped":
                signature = _hmac(key, f"{call.job}:{timestamp}".encode())
                return {"X-Parser-Signature": signature, "X-Parser-Timestamp": timestamp}
            case "generic":
                digest = hashlib.sha256(body).hexdigest()
                content = f"{call.job}\n{timestamp}\n{nonce}\n{digest}".encode()
                return {
                    "X-Parser-Signature": f"v1={_hmac(key, content)}",
                    "X-Parser-Timestamp": timestamp,
                    "X-Parser-Nonce": nonce,
                }

    def send(self, call: ParseCall, headers: Mapping[str, str], body: bytes) -> Callback:
        """Send a callback as it stands, and note what was answered."""
        status = _post(call.callback_url, headers, body)
        sent = Callback(call, headers, body, status)
        with self._lock:
            self.callbacks.append(sent)
        return sent

    # --- inside -----------------------------------------------------------------------------------

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.set()
        for thread in self._threads:
            thread.join()
        super().__exit__(kind, error, trace)

    def _check_key(self, request: Request) -> None:
        if not request.path.startswith(RESULTS):  # whoever knows the address may have it
            super()._check_key(request)

    def _read(self, request: Request) -> Asked:
        if request.path not in self.paths:
            self.strays.append((request.method, request.path))
            raise no_such_path(request)
        return Asked(request, _read_form(request))

    def _take(self, asked: Asked) -> ParseCall:
        given = asked.header("idempotency-key")
        with self._lock:
            known = self._known.get(given) if given else None
            if known is not None:
                return known
            call = self._call_of(asked, given)
            self.calls.append(call)
            if given:
                self._known[given] = call
            fails = self._random.random() < self.failure_rate
        thread = threading.Thread(target=self._work, args=(call, fails), name="fake-parser")
        self._threads.append(thread)
        thread.start()
        return call

    def _call_of(self, asked: Asked, given: str | None) -> ParseCall:
        fields = dict(asked.data)
        name, data = fields.pop("file")
        url, key = fields.get("callback_url"), fields.get("callback_key")
        if self.kind == "llamaparse":
            hook = json.loads(fields["configuration"])["webhook_configurations"][0]
            url, key = hook["webhook_url"], hook["webhook_signing_secret"]
        if not url or not key:
            raise refusal(422, "callback_url and callback_key are needed", "invalid_form")
        return ParseCall(uuid.uuid4().hex, name, data, fields, url, key, given)

    def _work(self, call: ParseCall, fails: bool) -> None:  # noqa: FBT001 - a thread's argument
        if self._closing.wait(self.delay_s) or self.silent:
            return
        said = self._said(call, None, None, fails=fails)
        body = json.dumps(said).encode()
        nonce = uuid.uuid4().hex
        for _ in range(TRIES):
            headers = self.sign(call, body, nonce=nonce)
            if self.send(call, headers, body).status in range(200, 500):
                return
            if self._closing.wait(RETRY_S):
                return

    def _said(
        self, call: ParseCall, nonce: str | None, at: float | None, *, fails: bool = False
    ) -> dict[str, Any]:
        """What a callback says."""
        if self.kind == "llamaparse":
            return {
                "event_id": nonce or str(uuid.uuid4()),
                "event_type": "parse.error" if fails else "parse.success",
                "timestamp": time.time() if at is None else at,
                "data": {"id": call.id, "job_id": call.id},
            }
        if fails:
            return {"state": "failed", "reason": "the file is damaged", "class": "user"}
        if self.gives_address:
            return {"state": "parsed", "result_url": f"{self.base_url}/results/{call.id}"}
        return {"state": "parsed", "markdown": self.parse(call.name, call.data)}


def _hmac(key: str, content: bytes) -> str:
    return hmac.new(key.encode(), content, hashlib.sha256).hexdigest()


def _post(url: str, headers: Mapping[str, str], body: bytes) -> int:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=CALL_S)
    with contextlib.closing(connection):
        try:
            connection.request(
                "POST",
                f"{parts.path}?{parts.query}",
                body,
                {**headers, "Content-Type": "application/json"},
            )
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0


def _read_form(request: Request) -> dict[str, Any]:
    """The fields of a form, and its file as (name, content)."""
    found = _BOUNDARY.search(request.headers.get("content-type", ""))
    if found is None:
        raise refusal(415, "The body is no form", "invalid_form")
    fields: dict[str, Any] = {}
    for part in request.body.split(b"--" + found[1].encode())[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        content = content.removesuffix(b"\r\n")
        text = head.decode()
        name, file_name = _NAME.search(text), _FILE_NAME.search(text)
        if name is None:
            raise refusal(400, "A part of the form has no name", "invalid_form")
        fields[name[1]] = content.decode() if file_name is None else (file_name[1], content)
    if "file" not in fields:
        raise refusal(422, "The form has no file", "invalid_form")
    return fields
