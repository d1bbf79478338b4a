"""Documents that another system parses: handed over, waited for, gone on with."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from headrace.pipelines.documents.external.calls import Call
from headrace.pipelines.documents.external.news import ParserAnswer
from headrace.pipelines.documents.model import ParsedFile
from headrace.testing import Fault, ParseCall
from tests.documents.conftest import FOLDER, OLD_SECRET, SECRET
from tests.documents.elsewhere import TEXT, Elsewhere, parsing_elsewhere
from tests.documents.files import pdf
from tests.waiting import eventually
from tests.web.serving import who

OTHER = "# Another\n\nThe heron stands in the reeds."
PARSED = {"state": "parsed", "markdown": TEXT}


@pytest.fixture
async def town(vector_server: str) -> AsyncIterator[Elsewhere]:
    """An API and a parser that calls back when the test says so."""
    async with parsing_elsewhere(vector_server) as made:
        yield made


async def stage(town: Elsewhere, call: ParseCall) -> str:
    items = (await town.client.get("/v1/documents")).json()["items"]
    return next(str(item["stage"]) for item in items if item["job_id"] == call.job)


class TestAnAnswer:
    async def test_a_document_waits_for_it_and_goes_on_with_it(self, vector_server: str):
        async with parsing_elsewhere(vector_server, delay_s=0.1) as town:
            sent = await town.send()
            async with town.engine.worker():
                done = await town.until_stage(sent["document_id"], "complete")
            assert done["problem"] is None
            [call] = town.parser.calls
            assert (call.data, call.name, call.job) == (TEXT.encode(), "mill.md", sent["job_id"])
            assert [callback.status for callback in town.parser.callbacks] == [204]
            chunks = (await town.client.get(f"/v1/documents/{sent['document_id']}/chunks")).json()
            assert "opens the sluice" in "".join(chunk["text"] for chunk in chunks["items"])

    async def test_one_that_says_where_the_text_is_has_it_fetched(self, vector_server: str):
        async with parsing_elsewhere(vector_server, delay_s=0.1, gives_address=True) as town:
            sent = await town.send()
            async with town.engine.worker():
                await town.until_stage(sent["document_id"], "complete")

    async def test_pages_are_kept(self, town: Elsewhere):
        async with town.engine.worker():
            sent = await town.send()
            call = await town.handed_over()
            said = {**PARSED, "pages": [1, 5]}
            assert (await town.call_back(call, said)).status == 204
            done = await town.until_stage(sent["document_id"], "complete")
            assert done["pages"] == 2


class TestWaiting:
    async def test_it_holds_no_slot_and_shows_that_it_waits(self, town: Elsewhere):
        async with town.engine.worker(concurrency=1):
            sent = await town.send()
            call = await town.handed_over()
            other = await town.send(OTHER, "other.md")  # the one slot is free for it
            await town.handed_over(2)
            assert (await town.document(sent["document_id"]))["stage"] == "parse_queued"
            assert (await town.document(other["document_id"]))["stage"] == "parse_queued"
            assert (await town.call_back(call)).status == 204
            await town.until_stage(sent["document_id"], "complete")

    async def test_a_worker_that_dies_meanwhile_takes_nothing_with_it(self, town: Elsewhere):
        sent = await town.send()
        async with town.engine.worker():
            call = await town.handed_over()
        assert (await town.call_back(call)).status == 204  # nobody is there
        async with town.engine.worker():
            await town.until_stage(sent["document_id"], "complete")
        assert len(town.parser.calls) == 1

    async def test_an_answer_may_come_before_the_step_that_asked_has_ended(self, town: Elsewhere):
        sent = await town.send()
        call = Call(UUID(sent["job_id"]), 1)
        early = ParseCall("x", "", b"", {}, url_of(town, sent["job_id"]), key_of(call), None)
        assert (await town.call_back(early, PARSED)).status == 204
        async with town.engine.worker():
            await town.until_stage(sent["document_id"], "complete")

    async def test_too_late_is_a_failure_that_says_so_and_a_retry_asks_again(self, town: Elsewhere):
        async with town.engine.worker():
            document, call = await expired(town)
            failed = await town.document(document)
            assert failed["problem"]["code"] == "PARSER_TIMEOUT"
            assert "not called back within 1,800 s" in failed["problem"]["message"]
            assert await retried(town, document) == 2
            again = await town.handed_over(2)
            assert again.callback_url.endswith("&run=2")
            stale = await town.call_back(call, {**PARSED, "markdown": OTHER}, at=later())
            assert (stale.status, await stage(town, call)) == (204, "parse_queued")
            assert (await town.call_back(again, at=later())).status == 204
            await town.until_stage(document, "complete")

    async def test_an_answer_that_came_too_late_is_there_for_the_retry(self, town: Elsewhere):
        async with town.engine.worker():
            document, call = await expired(town)
            assert (await town.call_back(call, at=later())).status == 204
            assert await stage(town, call) == "failed_parse"
            assert await retried(town, document) == 2
            await town.until_stage(document, "complete")
        assert len(town.parser.calls) == 1


def later() -> float:
    """After the wait, by the clock of the engine."""
    return time.time() + 1_801


async def expired(town: Elsewhere) -> tuple[str, ParseCall]:
    """A document for which no callback came in time."""
    sent = await town.send()
    call = await town.handed_over()
    await town.engine.move_clock(timedelta(seconds=1_801))
    await town.until_stage(sent["document_id"], "failed_parse")
    return str(sent["document_id"]), call


async def retried(town: Elsewhere, document: str) -> int:
    path = f"/v1/documents/{document}/retry"
    answer = await town.client.post(path, json={"reason": "it is back"})
    assert answer.status_code == 202, answer.text
    return int(answer.json()["run"])


class TestFailures:
    @pytest.mark.parametrize(
        ("said", "words"),
        [
            (
                {"state": "failed", "reason": "it is\n torn"},
                "could not read the file: it is torn",
            ),
            ({"state": "failed", "reason": "no ink", "class": "transient"}, "the parser failed"),
            ({"state": "parsed", "markdown": "  \n "}, "found no text"),
            ({"state": "parsed"}, "found no text"),
        ],
    )
    async def test_what_the_parser_cannot_read_fails_with_its_reason(
        self, town: Elsewhere, said: dict[str, Any], words: str
    ):
        async with town.engine.worker():
            sent = await town.send()
            assert (await town.call_back(await town.handed_over(), said)).status == 204
            failed = await town.until_stage(sent["document_id"], "failed_parse")
        assert words in failed["problem"]["message"]
        tries = await town.engine.tries(sent["job_id"])
        assert len(tries) == 1, "another try would end in the same way"

    async def test_a_parser_that_is_down_is_asked_again_and_given_the_file_once(
        self, town: Elsewhere
    ):
        town.parser.fail_next(Fault.SERVER_ERROR)
        town.parser.fail_next(Fault.RESET)  # it has the file, and we do not hear so
        async with town.engine.worker():
            await town.send()
            await town.handed_over()
        assert len(town.parser.calls) == 1

    async def test_an_address_that_is_not_public_is_not_fetched(self, town: Elsewhere):
        async with town.engine.worker():
            sent = await town.send()
            call = await town.handed_over()
            said = {"state": "parsed", "result_url": "https://10.0.0.8/secret"}
            assert (await town.call_back(call, said)).status == 204
            await town.until_stage(sent["document_id"], "failed_parse")
        [failed] = await town.engine.tries(sent["job_id"])
        assert "no public host" in failed.message

    async def test_progress_ends_no_wait(self, town: Elsewhere):
        async with town.engine.worker():
            await town.send()
            call = await town.handed_over()
            said = {"state": "processing", "done": 1, "total": 9}
            assert (await town.call_back(call, said)).status == 204
            assert await town.waits(call.job)
            assert await stage(town, call) == "parse_queued"


def key_of(call: Call, secret: str = SECRET) -> str:
    return call.key(secret.replace(" ", "-").encode())


def url_of(town: Elsewhere, job: str, run: int = 1) -> str:
    return f"{town.api.url}/v1/webhooks/generic?job={job}&run={run}"


async def forge(
    town: Elsewhere, call: ParseCall, body: bytes, headers: dict[str, str]
) -> httpx2.Response:
    client = await town.api.stranger()
    kind = {"Content-Type": "application/json"}
    return await client.post(call.callback_url, content=body, headers={**kind, **headers})


class TestSignatures:
    async def test_nothing_is_believed_of_which_anything_was_changed(self, town: Elsewhere):
        async with town.engine.worker():
            await town.send()
            call = await town.handed_over()
        body = b'{"state": "parsed", "markdown": "mine"}'
        good = town.parser.sign(call, body)
        changed = [
            {**good, "X-Parser-Signature": good["X-Parser-Signature"][:-1] + "x"},
            {**good, "X-Parser-Timestamp": str(int(good["X-Parser-Timestamp"]) + 1)},
            {**good, "X-Parser-Nonce": good["X-Parser-Nonce"][::-1]},
            town.parser.sign(call, body + b" "),
            town.parser.sign(call, body, key=key_of(Call(uuid4(), 1))),
            town.parser.sign(call, body, key=key_of(Call(UUID(call.job), 2))),
            town.parser.sign(call, body, key=key_of(Call(UUID(call.job), 1), "x" * 32)),
            town.parser.sign(call, body, at=time.time() - 302),
            town.parser.sign(call, body, at=time.time() + 302),
            {**good, "X-Parser-Timestamp": "soon"},
            {**good, "X-Parser-Nonce": "short"},
            *({k: v for k, v in good.items() if k != missing} for missing in good),
        ]
        for headers in changed:
            answer = await forge(town, call, body, headers)
            assert (answer.status_code, answer.json()["code"]) == (401, "AUTH_REQUIRED"), headers
        assert await town.waits(call.job)

    async def test_a_callback_for_another_job_or_run_is_not_believed(self, town: Elsewhere):
        async with town.engine.worker():
            one = await town.send()
            await town.handed_over()
            await town.send(OTHER, "other.md")
            await town.handed_over(2)
        body = b'{"state": "parsed", "markdown": "mine"}'
        mine, others = (call for call in town.parser.calls)
        assert mine.job == one["job_id"]
        headers = town.parser.sign(mine, body)
        client = await town.api.stranger()
        kind = {"Content-Type": "application/json", **headers}
        for url in (others.callback_url, mine.callback_url.replace("run=1", "run=2")):
            assert (await client.post(url, content=body, headers=kind)).status_code == 401

    async def test_the_secret_before_is_good_while_it_is_changed(self, town: Elsewhere):
        async with town.engine.worker():
            sent = await town.send()
            call = await town.handed_over()
            old = key_of(Call(UUID(call.job), 1), OLD_SECRET)
            assert (await town.call_back(call, PARSED, key=old)).status == 204
            await town.until_stage(sent["document_id"], "complete")

    async def test_the_same_callback_again_is_taken_and_changes_nothing(self, town: Elsewhere):
        async with town.engine.worker():
            sent = await town.send()
            call = await town.handed_over()
            first = await town.call_back(call, PARSED)
            for _ in range(3):
                assert (await town.repeat(first)).status == 204
            done = await town.until_stage(sent["document_id"], "complete")
            assert (await town.repeat(first)).status == 204
            other = await town.call_back(call, {"state": "parsed", "markdown": OTHER})
            assert other.status == 204
        assert done["generation"] == 1
        assert await town.document(sent["document_id"]) == done

    async def test_a_nonce_is_good_for_one_callback(self, town: Elsewhere):
        async with town.engine.worker():
            await town.send()
            call = await town.handed_over()
        said = {"state": "processing", "done": 1}
        assert (await town.call_back(call, said, nonce="nonce-of-one")).status == 204
        assert (await town.call_back(call, PARSED, nonce="nonce-of-one")).status == 401
        assert await town.waits(call.job)
        await town.engine.move_clock(timedelta(hours=24, seconds=1))
        tomorrow = time.time() + 86_401
        assert (await town.call_back(call, said, at=tomorrow, nonce="nonce-of-more")).status == 204
        async with town.engine.connection() as connection:
            kept = await connection.fetchval("select count(*) from headrace_documents.callbacks")
        assert kept == 1, "those of the day before are forgotten"

    async def test_what_nobody_waits_for_is_not_found(self, town: Elsewhere):
        job = str(uuid4())
        call = ParseCall("x", "", b"", {}, url_of(town, job), key_of(Call(UUID(job), 1)), None)
        assert (await town.call_back(call, PARSED)).status == 404
        assert (await town.call_back(call, PARSED, key="0" * 64)).status == 401
        client = await town.api.stranger()
        other = url_of(town, job).replace("generic", "llamaparse")
        assert (await client.post(other, json=PARSED)).status_code == 404

    @pytest.mark.parametrize(
        "said",
        [
            {"state": "done"},
            {"state": "parsed", "markdown": 7},
            {"state": "parsed", "owner": "bob"},
            {"state": "failed"},
            {"state": "processing", "done": -1},
        ],
    )
    async def test_a_body_that_says_something_else_is_refused(
        self, town: Elsewhere, said: dict[str, Any]
    ):
        async with town.engine.worker():
            await town.send()
            call = await town.handed_over()
        assert (await town.call_back(call, said)).status == 422
        assert await town.waits(call.job)

    async def test_a_signal_that_is_not_from_a_callback_reads_nobody_elses_file(
        self, town: Elsewhere
    ):
        async with town.engine.worker():
            sent = await town.send()
            call = await town.handed_over()
            foreign = FOLDER / "raw" / "globex" / "bob"
            foreign.mkdir(parents=True, exist_ok=True)
            (foreign / "secret.md").write_text("the heron")
            stolen = ParsedFile("storage://local/raw/globex/bob/secret.md", "0" * 64, 9)
            await town.engine.app.send(call.job, "parsed", ParserAnswer("parsed", stolen))
            failed = await town.until_stage(sent["document_id"], "failed_parse")
        assert failed["problem"] is not None
        [tried] = await town.engine.tries(sent["job_id"])
        assert "did not come from a callback" in tried.message


class TestTheSameContent:
    async def test_the_same_parser_is_not_asked_twice(self, town: Elsewhere):
        async with town.engine.worker():
            sent = await town.send()
            await town.call_back(await town.handed_over())
            await town.until_stage(sent["document_id"], "complete")
            again = await town.client.post(
                "/v1/documents",
                files={"file": ("mill.md", TEXT.encode())},
                data={"force": "true"},
            )
            assert again.json()["is_new"]
            await eventually(lambda: has_generation(town, sent["document_id"], 2), within=30)
        assert len(town.parser.calls) == 1

    async def test_another_owner_pays_for_a_parse_of_their_own(self, town: Elsewhere):
        async with town.engine.worker():
            await town.send()
            await town.call_back(await town.handed_over())
            bob = await town.api.client(who("acme", "bob"))
            await bob.post("/v1/documents", files={"file": ("mill.md", TEXT.encode())})
            await town.handed_over(2)
        assert len(town.parser.calls) == 2

    async def test_nothing_of_it_is_left_when_it_is_deleted(self, town: Elsewhere):
        async with town.engine.worker():
            sent = await town.send()
            await town.call_back(await town.handed_over())
            await town.until_stage(sent["document_id"], "complete")
            path = f"/v1/documents/{sent['document_id']}"
            assert (await town.client.delete(path)).status_code == 204
        assert not list(FOLDER.rglob(f"*{sent['document_id']}*"))


async def has_generation(town: Elsewhere, document: str, number: int) -> bool:
    return bool((await town.document(document))["generation"] == number)


class TestAdvancing:
    async def test_a_text_of_a_person_ends_the_wait(self, town: Elsewhere):
        async with town.engine.worker():
            sent = await town.send()
            call = await town.handed_over()
            path = f"/v1/documents/{sent['document_id']}/advance"
            body = {"reason": "the parser is down", "markdown": OTHER}
            assert (await town.client.post(path, json=body)).status_code == 202
            await town.until_stage(sent["document_id"], "complete")
            assert (await town.client.post(path, json=body)).status_code == 202, "nothing new"
            other = await town.client.post(path, json={**body, "markdown": TEXT})
            assert (other.status_code, other.json()["code"]) == (409, "CONFLICT")
            assert (await town.call_back(call)).status == 204
        chunks = (await town.client.get(f"/v1/documents/{sent['document_id']}/chunks")).json()
        assert "heron" in chunks["items"][0]["text"]

    async def test_without_one_the_worker_parses_the_file(self, town: Elsewhere):
        data = pdf(["The miller opens the sluice at dawn."])
        async with town.engine.worker():
            answer = await town.client.post("/v1/documents", files={"file": ("a.pdf", data)})
            document = answer.json()["document_id"]
            await town.handed_over()
            path = f"/v1/documents/{document}/advance"
            assert (await town.client.post(path, json={"reason": "now"})).status_code == 202
            assert (await town.until_stage(document, "complete"))["pages"] == 1
