"""Documents that another system parses: handed over, waited for, gone on with."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
import pytest_asyncio

from headrace.pipelines.documents.external.calls import Call
from headrace.pipelines.documents.external.news import ParserAnswer
from headrace.pipelines.documents.model import ParsedFile
from headrace.store.audit import list_actions
from headrace.testing import Fault
from tests.documents.conftest import FOLDER, OLD_SECRET
from tests.documents.elsewhere import (
    OTHER,
    OWNER,
    PARSED,
    TEXT,
    Elsewhere,
    Sent,
    key_of,
    parsing_elsewhere,
    unasked,
)
from tests.documents.files import pdf
from tests.documents.trial import TRIAL
from tests.waiting import eventually
from tests.web.serving import who

together = pytest.mark.asyncio(loop_scope="module")
"""One API, one parser and one worker for all of them."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(vector_server: str) -> AsyncIterator[Elsewhere]:
    """A parser that calls back when the test says so, and one worker with one slot."""
    TRIAL.reset()
    async with parsing_elsewhere(vector_server) as made, made.engine.worker(concurrency=1):
        yield made


@together
class TestAnAnswer:
    async def test_a_document_goes_on_with_its_text_and_its_pages(self, town: Elsewhere):
        sent, call = await town.wait()
        assert (call.data, call.name) == (sent.data, "mill.md")
        assert (await town.call_back(call, {**PARSED, "pages": [1, 5]})).status == 204
        done = await town.until_stage(sent, "complete")
        assert (done["problem"], done["pages"]) == (None, 2)
        assert "opens the sluice" in await town.text(sent)

    async def test_it_comes_by_itself_and_may_say_where_the_text_is(self, town: Elsewhere):
        town.parser.delay_s, town.parser.gives_address = 0.1, True
        try:
            sent = await town.send()
            await town.until_stage(sent, "complete")
        finally:
            town.parser.delay_s, town.parser.gives_address = 600.0, False
        assert [one.status for one in town.parser.callbacks if one.call.job == sent.job] == [204]
        assert "times" in await town.text(sent)

    async def test_a_document_that_waits_holds_no_slot(self, town: Elsewhere):
        one, call = await town.wait()
        other, _ = await town.wait()  # the only slot is free for it
        assert [await town.stage(one), await town.stage(other)] == ["parse_queued"] * 2
        assert (await town.call_back(call)).status == 204
        await town.until_stage(one, "complete")
        assert await town.stage(other) == "parse_queued"

    async def test_progress_ends_no_wait(self, town: Elsewhere):
        sent, call = await town.wait()
        said = {"state": "processing", "done": 1, "total": 9}
        assert (await town.call_back(call, said)).status == 204
        assert await town.waits(sent.job)
        assert await town.stage(sent) == "parse_queued"

    @pytest.mark.parametrize(
        ("said", "words"),
        [
            ({"state": "failed", "reason": "it is\n torn"}, "not read the file: it is torn"),
            ({"state": "failed", "reason": "no ink", "class": "transient"}, "the parser failed"),
            ({"state": "parsed", "markdown": "  \n "}, "found no text"),
            ({"state": "parsed"}, "found no text"),
        ],
    )
    async def test_what_the_parser_cannot_read_fails_with_its_reason(
        self, town: Elsewhere, said: dict[str, Any], words: str
    ):
        sent, call = await town.wait()
        assert (await town.call_back(call, said)).status == 204
        failed = await town.until_stage(sent, "failed_parse")
        assert words in failed["problem"]["message"]
        tries = await town.engine.tries(sent.job)
        assert len(tries) == 1, "another try would end in the same way"

    async def test_an_address_that_is_not_public_is_not_fetched(self, town: Elsewhere):
        sent, call = await town.wait()
        said = {"state": "parsed", "result_url": "https://10.0.0.8/secret"}
        assert (await town.call_back(call, said)).status == 204
        await town.until_stage(sent, "failed_parse")
        [failed] = await town.engine.tries(sent.job)
        assert "no public host" in failed.message

    async def test_a_parser_that_did_not_hear_that_we_heard_gets_the_file_once(
        self, town: Elsewhere
    ):
        town.parser.fail_next(Fault.RESET)  # it has the file, and we do not hear so
        sent, _ = await town.wait()
        assert len(town.calls(sent)) == 1
        assert len(await town.engine.tries(sent.job)) == 1


async def forge(town: Elsewhere, url: str, body: bytes, headers: dict[str, str]) -> httpx2.Response:
    client = await town.api.stranger()
    kind = {"Content-Type": "application/json"}
    return await client.post(url, content=body, headers={**kind, **headers})


@together
class TestSignatures:
    async def test_nothing_is_believed_of_which_anything_was_changed(self, town: Elsewhere):
        sent, call = await town.wait()
        body = b'{"state": "parsed", "markdown": "mine"}'
        good = town.parser.sign(call, body)
        changed = [
            {**good, "X-Parser-Signature": good["X-Parser-Signature"][:-1] + "x"},
            {**good, "X-Parser-Timestamp": str(int(good["X-Parser-Timestamp"]) + 1)},
            {**good, "X-Parser-Nonce": good["X-Parser-Nonce"][::-1]},
            town.parser.sign(call, body + b" "),
            town.parser.sign(call, body, key=key_of(Call(uuid4(), 1))),
            town.parser.sign(call, body, key=key_of(Call(UUID(sent.job), 2))),
            town.parser.sign(call, body, key=key_of(Call(UUID(sent.job), 1), "x" * 32)),
            town.parser.sign(call, body, at=time.time() - 330),
            town.parser.sign(call, body, at=time.time() + 330),
            {**good, "X-Parser-Timestamp": "soon"},
            {**good, "X-Parser-Nonce": "short"},
            *({name: good[name] for name in good if name != missing} for missing in good),
        ]
        for headers in changed:
            answer = await forge(town, call.callback_url, body, headers)
            assert (answer.status_code, answer.json()["code"]) == (401, "AUTH_REQUIRED"), headers
        assert await town.waits(sent.job)
        in_time = town.parser.sign(call, body, at=time.time() - 270)
        assert (await forge(town, call.callback_url, body, in_time)).status_code == 204

    async def test_a_callback_is_good_for_its_own_job_and_run(self, town: Elsewhere):
        one, call = await town.wait()
        other, others = await town.wait()
        body = b'{"state": "parsed", "markdown": "mine"}'
        headers = town.parser.sign(call, body)
        for url in (others.callback_url, call.callback_url.replace("run=1", "run=2")):
            assert (await forge(town, url, body, headers)).status_code == 401
        assert await town.waits(one.job)
        assert await town.waits(other.job)

    async def test_the_secret_before_is_good_while_it_is_changed(self, town: Elsewhere):
        sent, call = await town.wait()
        old = key_of(Call(UUID(sent.job), 1), OLD_SECRET)
        assert (await town.call_back(call, PARSED, key=old)).status == 204
        await town.until_stage(sent, "complete")

    async def test_the_same_callback_again_is_taken_and_changes_nothing(self, town: Elsewhere):
        sent, call = await town.wait()
        first = await town.call_back(call, PARSED)
        for _ in range(3):
            assert (await town.repeat(first)).status == 204
        done = await town.until_stage(sent, "complete")
        assert (await town.repeat(first)).status == 204
        assert (await town.call_back(call, OTHER)).status == 204, "the first answer stands"
        assert done["generation"] == 1
        assert await town.document(sent) == done
        assert "heron" not in await town.text(sent)

    async def test_a_nonce_is_good_for_one_callback(self, town: Elsewhere):
        sent, call = await town.wait()
        said = {"state": "processing", "done": 1}
        assert (await town.call_back(call, said, nonce="nonce-of-one")).status == 204
        assert (await town.call_back(call, PARSED, nonce="nonce-of-one")).status == 401
        assert await town.waits(sent.job)

    async def test_what_nobody_waits_for_is_not_found(self, town: Elsewhere):
        call = unasked(town, str(uuid4()))
        assert (await town.call_back(call, PARSED)).status == 404
        assert (await town.call_back(call, PARSED, key="0" * 64)).status == 401, "nothing is told"
        other = call.callback_url.replace("generic", "llamaparse")
        assert (await forge(town, other, b"{}", {})).status_code == 404

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
        sent, call = await town.wait()
        assert (await town.call_back(call, said)).status == 422
        assert await town.waits(sent.job)

    async def test_a_signal_that_is_not_from_a_callback_reads_nobody_elses_file(
        self, town: Elsewhere
    ):
        sent, _ = await town.wait()
        foreign = FOLDER / "raw" / "globex" / "bob"
        foreign.mkdir(parents=True, exist_ok=True)
        (foreign / "secret.md").write_text("the heron")
        stolen = ParsedFile("storage://local/raw/globex/bob/secret.md", "0" * 64, 9)
        await town.engine.app.send(sent.job, "parsed", ParserAnswer("parsed", stolen))
        await town.until_stage(sent, "failed_parse")
        [tried] = await town.engine.tries(sent.job)
        assert "did not come from a callback" in tried.message


@together
class TestTheSameContent:
    async def test_an_owner_pays_once_and_others_pay_for_themselves(self, town: Elsewhere):
        sent, call = await town.wait()
        await town.call_back(call)
        await town.until_stage(sent, "complete")
        again = await town.client.post(
            "/v1/documents",
            files={"file": ("mill.md", sent.data)},
            data={"force": "true"},
        )
        assert again.json()["is_new"]
        await eventually(lambda: has_generation(town, sent, 2), within=30)
        assert not town.calls(Sent(sent.id, again.json()["job_id"], b""))
        bob = await town.api.client(who("acme", "bob"))
        others = await town.send(sent.data.decode(), client=bob)
        assert (await town.handed_over(others)).data == sent.data

    async def test_nothing_of_it_is_left_when_it_is_deleted(self, town: Elsewhere):
        sent, call = await town.wait()
        await town.call_back(call)
        await town.until_stage(sent, "complete")
        assert list(FOLDER.rglob(f"*{sent.id}*"))
        assert (await town.client.delete(f"/v1/documents/{sent.id}")).status_code == 204
        assert not list(FOLDER.rglob(f"*{sent.id}*"))
        assert (await town.call_back(call)).status == 404


async def has_generation(town: Elsewhere, sent: Sent, number: int) -> bool:
    return bool((await town.document(sent))["generation"] == number)


@together
class TestAdvancing:
    async def test_a_text_of_a_person_ends_the_wait(self, town: Elsewhere):
        sent, call = await town.wait()
        path = f"/v1/documents/{sent.id}/advance"
        body = {"reason": "the parser is down", "markdown": OTHER["markdown"]}
        assert (await town.client.post(path, json=body)).status_code == 202
        await town.until_stage(sent, "complete")
        assert (await town.client.post(path, json=body)).status_code == 202, "nothing new"
        other = await town.client.post(path, json={**body, "markdown": TEXT})
        assert (other.status_code, other.json()["code"]) == (409, "CONFLICT")
        assert (await town.call_back(call)).status == 204
        assert "heron" in await town.text(sent)

    async def test_so_does_a_command_here_or_through_the_api(self, town: Elsewhere, tmp_path: Path):
        (tmp_path / "text.md").write_text(OTHER["markdown"])
        key = await town.api.key(OWNER)
        ways = {
            "--api": {"HEADRACE_API_TOKEN": key},
            "--tenant": {"HEADRACE_DOCUMENTS_PARSER": "external"},
        }
        for way, given in ways.items():
            sent, _ = await town.wait()
            options = (
                ["--api", town.api.url]
                if way == "--api"
                else ["--tenant", "acme", "--owner", "ann"]
            )
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "headrace", "documents", "advance", sent.id,
                "--reason", "the parser is down", "--markdown", "text.md", *options,
                cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
                env={**os.environ, **given, "HEADRACE_DATABASE_URL": town.engine.database},
            )  # fmt: skip
            said = (await process.communicate())[0].decode()
            assert process.returncode == 0, said
            assert f"{sent.id} goes on" in said
            await town.until_stage(sent, "complete")
            assert "heron" in await town.text(sent)
            async with town.engine.connection() as connection:
                actions = await list_actions(connection)
            [done] = [one for one in actions if one.target == sent.id]
            assert (done.action, done.reason) == ("document.advance", "the parser is down")

    async def test_without_one_the_worker_parses_the_file(self, town: Elsewhere):
        data = pdf(["The miller opens the sluice at dawn."])
        answer = await town.client.post("/v1/documents", files={"file": ("a.pdf", data)})
        sent = Sent(answer.json()["document_id"], answer.json()["job_id"], data)
        await town.handed_over(sent)
        path = f"/v1/documents/{sent.id}/advance"
        assert (await town.client.post(path, json={"reason": "now"})).status_code == 202
        assert (await town.until_stage(sent, "complete"))["pages"] == 1
