"""What strangers send where a word was expected, and what comes of it, everywhere in the API."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Iterator
from urllib.parse import quote
from uuid import uuid4

import httpx2
import pytest
import pytest_asyncio

from headrace.web.auth.identity import Scope
from tests.web.operations import Operation, resolved
from tests.web.serving import who
from tests.web.sockets import dial
from tests.web.town import LARGEST, Town, open_town
from tests.web.whole import DOCUMENTED, MARK, OPERATIONS

pytestmark = pytest.mark.asyncio(loop_scope="module")

EVIL = (
    "\u202e\x1b[2J' or 1=1; drop table jobs;--{{7*7}}${7}%s<script>alert(1)</script>=cmd|' /C'!A0"
)
"""Bidirectional, terminal, SQL, template, format, HTML and spreadsheet."""
IN_ADDRESSES = {
    "nul": "%00",
    "lone surrogate": "%ED%A0%80",
    "no utf-8": "%FF%C0%AF",
    "evil": quote(EVIL.replace("/", "|"), safe=""),  # another path would be asked for
    "long": "a" * 6_000,
}
REFUSED_IN_BODIES = {"nul": "a\0b", "lone surrogate": "a\ud800"}
IN_BODIES = {"evil": EVIL, "long": "\u00e4" * 50_000, "astral": "\U0001f409" * 9}
ROOT = who("ops", "root", *Scope)
FORGED = ("x", "' or 1=1", "9" * 90, "-1", "e30=", f"{uuid4()}_{uuid4()}", "\u0663")
"""What is no place in a list, or one of somebody else's."""
QUICK_S = 5.0
"""Ten times what it takes: this machine is shared."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(vector_server: str) -> AsyncIterator[Town]:
    async with open_town(vector_server) as opened:
        yield opened


def addresses(one: Operation) -> Iterator[tuple[str, str]]:
    """The address of an operation with each text in each parameter, and what was put where."""
    plain = {name: str(uuid4()) for name in one.names}
    for kind, text in IN_ADDRESSES.items():
        for name in one.names:
            yield f"{kind} in {name}", one.place(**plain | {name: text})
        for name in one.parameters("query"):
            more = "&reason=x" if name != "reason" and "reason" in one.parameters("query") else ""
            yield f"{kind} in {name}", f"{one.place(**plain)}?{name}={text}{more}"


def words_of(one: Operation) -> list[str]:
    """The members of its body that may be text."""
    schema = resolved(one.told["requestBody"]["content"]["application/json"]["schema"], DOCUMENT)
    return [
        name
        for name, part in schema.get("properties", {}).items()  # a signal is any value
        if any(kind.get("type") == "string" for kind in (part, *part.get("anyOf", ())))
    ]


def required(one: Operation) -> str:
    """The parameters that its address must have."""
    wanted = [part for part in one.told.get("parameters", ()) if part["in"] == "query"]
    values = [
        f"{part['name']}={1 if part['schema'].get('type') == 'integer' else uuid4()}"
        for part in wanted
        if part["required"] and part["name"] != "reason"
    ]
    return f"?{'&'.join(values)}" if values else ""


def fits(one: Operation, answer: httpx2.Response) -> bool:
    """Whether it is an answer that the document tells, and no page for a browser."""
    return (
        answer.status_code < 500
        and str(answer.status_code) in one.told["responses"]
        and answer.headers["content-type"].partition(";")[0]
        in {"application/json", "application/problem+json"}
        and answer.headers["X-Content-Type-Options"] == "nosniff"
    )


DOCUMENT = DOCUMENTED.openapi()
WITH_PARAMETERS = [one for one in OPERATIONS if one.names or one.parameters("query")]
PAGED = [one for one in OPERATIONS if one.method == "GET" and "limit" in one.parameters("query")]
WITH_JSON = [one for one in OPERATIONS if one.media_type == "application/json"]


class TestEveryParameter:
    """A4, A6, A8: no text in an address brings a 500, or an answer that is not told."""

    @pytest.mark.parametrize("one", WITH_PARAMETERS, ids=str)
    async def test_it_is_taken_as_text_or_refused(self, town: Town, one: Operation):
        client = await town.api.client(ROOT)
        wrong = []
        for where, address in addresses(one):
            body = {"json": one.body} if one.media_type == "application/json" else {}
            headers = {"Accept": "application/json"}
            answer = await client.request(one.method, address, headers=headers, **body)
            if not fits(one, answer):
                wrong.append((where, answer.status_code, answer.text))
        assert wrong == []


class TestEveryWord:
    """A4: no text in a body brings a 500; what no text can hold is refused before anybody reads."""

    @pytest.mark.parametrize("one", WITH_JSON, ids=str)
    async def test_it_is_taken_as_text_or_refused(self, town: Town, one: Operation):
        client = await town.api.client(ROOT)
        known = {"worker_id": 1, "number": 1, "schedule": "reports.tick"}
        place = one.place(**{name: uuid4() for name in one.names} | known) + required(one)
        headers = {"Content-Type": "application/json"}
        wrong = []
        for name in words_of(one):
            for kind, text in {**REFUSED_IN_BODIES, **IN_BODIES}.items():
                content = json.dumps({**one.body, name: text})
                answer = await client.request(one.method, place, content=content, headers=headers)
                is_refused = answer.status_code == 400
                if not fits(one, answer) or is_refused != (kind in REFUSED_IN_BODIES):
                    wrong.append((name, kind, answer.status_code, answer.text))
        assert wrong == []

    async def test_every_name_in_a_form_is_text_or_refused(self, town: Town):
        client = await town.api.client(ROOT)
        for name in (EVIL, "../../etc/passwd", "a\0b.md", "\u202egnp.md", ".", "a" * 121, "%00"):
            head = f'--x\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
            content = head.encode() + name.encode() + b"\r\n--x--\r\n"
            headers = {"Content-Type": "multipart/form-data; boundary=x"}
            answer = await client.post("/v1/documents", content=content, headers=headers)
            assert answer.status_code in {202, 400, 422}, answer.text


class TestUploads:
    """A1: a file without end, or of a false length, is given up once it is too large."""

    async def test_one_without_length_is_refused_as_soon_as_it_is_too_long(self, town: Town):
        async with dial(town.api) as line:
            kind = "Content-Type: multipart/form-data; boundary=x"
            head = line.head(kind, "Transfer-Encoding: chunked", path="/v1/documents")
            part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
            await line.send(head + b"%x\r\n" % len(part) + part + b"\r\n")
            for _ in range(LARGEST // 8_192 + 3):
                await line.send(b"2000\r\n" + b" " * 8_192 + b"\r\n")
            status, headers, body = await line.answer()
            assert (status, json.loads(body)["code"]) == (413, "PAYLOAD_TOO_LARGE")
            assert headers["connection"] == "close"
            assert await line.is_closed()

    async def test_an_announced_one_is_refused_before_it_is_read(self, town: Town):
        async with dial(town.api) as line:
            kind = "Content-Type: multipart/form-data; boundary=x"
            length = f"Content-Length: {2 * LARGEST}"
            await line.send(line.head(kind, length, path="/v1/documents"))
            assert (await line.answer())[0] == 413
            assert await line.is_closed()


class TestStoredText:
    """A4, A6: what is stored comes back as it was, as JSON that no browser takes for a page."""

    async def test_it_comes_back_where_it_is_shown(self, town: Town):
        client = await town.api.client(who("acme", "odd"))
        body = {
            "pipeline": "decide",
            "payload": {"title": EVIL},
            "metadata": {EVIL: [EVIL, {EVIL: "\u2028\x85\x7f"}]},
        }
        sent = await client.post("/v1/jobs", json=body)
        assert sent.status_code == 202, sent.text
        await town.api.engine.run_until_empty(40)
        place = sent.headers["Location"]
        result = (await client.get(f"{place}/result")).json()["result"]
        given = (await client.get(f"{place}/input")).json()["payload"]
        shown = await client.get(place)
        assert result["title"] == given["title"] == EVIL
        assert shown.json()["metadata"] == body["metadata"]
        for answer in (shown, await client.get("/v1/jobs"), await client.get(f"{place}/steps")):
            assert answer.headers["content-type"] == "application/json"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
            assert "\x1b" not in answer.text
            assert "\0" not in answer.text

    async def test_64_levels_and_100_000_members_are_read_again_or_refused(self, town: Town):
        """A2: what was stored can always be read."""
        client = await town.api.client(who("acme", "deep"))
        deep: object = 1
        for _ in range(61):
            deep = [deep]
        wide = {f"k{number}": number for number in range(100_000)}
        for value in (deep, [deep], [[deep]], wide, [[]] * 20_000):
            body = {"pipeline": "double", "payload": 1, "metadata": {"value": value}}
            sent = await client.post("/v1/jobs", json=body)
            assert sent.status_code in {202, 400, 422}, sent.text[:200]
            if sent.status_code == 202:
                shown = await client.get(sent.headers["Location"])
                assert shown.json()["metadata"]["value"] == value
        assert (await client.get("/v1/jobs")).status_code == 200


class TestPages:
    """A8: a page is never larger than it may be, and no place in a list is believed."""

    @pytest.mark.parametrize("one", PAGED, ids=str)
    async def test_its_size_and_place_are_checked(self, town: Town, one: Operation):
        client = await town.api.client(ROOT)
        place = one.place(**town.first())
        given = {"reason": "x"} if "reason" in one.parameters("query") else {}
        for wrong in ("1000000000", "0", "-1", "1e3", "0x10", "NaN", "9" * 400):
            answer = await client.get(place, params={**given, "limit": wrong})
            assert answer.status_code in {400, 404}, (wrong, answer.text[:200])
        for name in {"cursor", "after", "before"} & set(one.parameters("query")):
            for forged in (
                "x",
                "' or 1=1",
                "9" * 90,
                "-1",
                "e30=",
                f"{uuid4()}_{uuid4()}",
                "\u0663",
            ):
                answer = await client.get(place, params={**given, name: forged})
                assert answer.status_code < 500
                if answer.status_code == 200:
                    assert MARK not in answer.text
        if "offset" in one.parameters("query"):
            began = time.monotonic()
            answer = await client.get(place, params={**given, "offset": 10**9})
            assert answer.status_code in {200, 400}
            assert time.monotonic() - began < QUICK_S
