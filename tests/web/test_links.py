"""Links behind which a person answers: who may, when, once, and what is seen of it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from pydantic import SecretStr

from headrace import Headrace
from headrace.model.link import Link, read_token, write_token
from headrace.telemetry.events import Level, add_sink
from tests.waiting import eventually
from tests.web.asking_people import KEY, SECRET, TITLE, Asked, Desk, Order, desk_of, order, path_of

together = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(database_server: str) -> AsyncIterator[Desk]:
    async with desk_of(database_server) as made:
        yield made


@asynccontextmanager
async def idle_desk(server: str, **more: Any) -> AsyncIterator[Desk]:
    """One without a worker."""
    async with desk_of(server, works=False, **more) as made:
        yield made


def link_of(desk: Desk, asked: Asked) -> Link:
    """What a link says."""
    token = asked.path.rpartition("/")[2]
    found = read_token(desk.app.links.keys, token)
    assert found is not None
    return found


def forged(desk: Desk, asked: Asked, **changes: Any) -> str:
    """The path of another link of the same service."""
    return "/signals/" + write_token(
        desk.app.links.keys[0], replace(link_of(desk, asked), **changes)
    )


def words(page: str) -> str:
    """What a person reads."""
    body = page.partition("<body>")[2]
    return " ".join(re.sub(r"<[^>]*>", " ", body).split())


@together
class TestLookingAtALink:
    async def test_it_shows_a_form_and_what_the_step_said(self, desk: Desk):
        page = await desk.look((await desk.ask()).path)
        assert page.status_code == 200
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "<h1>Order &lt;17&gt;: 420 EUR</h1>" in page.text
        assert "Three sluice gates &amp; a mill." in page.text
        assert 'name="$.decision" value="approve"' in page.text
        assert TITLE not in page.text

    async def test_nothing_that_the_job_holds_is_in_it(self, desk: Desk):
        asked = await desk.ask()
        page = await desk.look(asked.path)
        assert SECRET not in page.text
        assert asked.job.id not in page.text
        assert "acme" not in page.text

    async def test_it_changes_nothing_however_often_it_is_done(self, desk: Desk):
        asked = await desk.ask()
        for _ in range(3):
            assert (await desk.look(asked.path)).status_code == 200
            assert (await desk.person.head(asked.path)).status_code == 200
        assert (await desk.look(f"{asked.path}/answered")).headers["location"].startswith("../")
        assert (await desk.fill_in(asked.path, decision="approve")).status_code == 303

    async def test_its_headers_keep_it_to_who_has_the_link(self, desk: Desk):
        page = await desk.look((await desk.ask()).path)
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["referrer-policy"] == "no-referrer"
        assert page.headers["x-robots-tag"] == "noindex, nofollow"
        assert page.headers["x-frame-options"] == "DENY"
        policy = page.headers["content-security-policy"]
        for rule in ("default-src 'none'", "frame-ancestors 'none'", "form-action 'self'"):
            assert rule in policy
        assert "script" not in policy
        assert len(page.headers.get_list("content-security-policy")) == 1

    async def test_its_one_style_is_the_one_that_the_policy_allows(self, desk: Desk):
        page = await desk.look((await desk.ask()).path)
        [style] = re.findall(r"<style>(.*?)</style>", page.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        assert f"style-src 'sha256-{digest}'" in page.headers["content-security-policy"]
        assert not re.search(r"<script|\son\w+=|style=|https?://|url\(", page.text)

    async def test_no_line_of_a_log_has_it(self, desk: Desk):
        asked, told = await desk.ask(), []
        forget = add_sink(told.append, level=Level.DEBUG)
        await desk.look(asked.path)
        await desk.fill_in(asked.path, decision="approve")
        await asked.job.result(timeout=20)
        forget()
        assert "/signals/{token}" in str(told)
        assert asked.path.removeprefix("/signals/") not in str(told)

    async def test_a_program_gets_what_is_asked_for_as_json(self, desk: Desk):
        asked = await desk.ask()
        answer = await desk.person.get(asked.path, headers={"Accept": "application/json"})
        body = answer.json()
        assert (body["pipeline"], body["signal"], body["title"]) == ("order", "approval", TITLE)
        assert body["value_schema"]["required"] == ["decision"]


@together
class TestAnsweringALink:
    async def test_the_job_goes_on_with_what_was_filled_in(self, desk: Desk):
        asked = await desk.ask()
        answer = await desk.fill_in(asked.path, decision="approve", pieces="5", comment="Go on.")
        assert answer.status_code == 303
        thanks = await desk.look(f"{asked.path}/answered")
        assert "/signals/" + answer.headers["location"] == f"{asked.path}/answered"
        assert (thanks.status_code, "Thank you" in thanks.text) == (200, True)
        assert await asked.job.result(timeout=20) == "approve 5 Go on."

    async def test_it_is_recorded_which_link_it_was(self, desk: Desk):
        asked = await desk.ask()
        await desk.fill_in(asked.path, decision="approve")
        listed = await (await desk.api.client()).get(f"/v1/jobs/{asked.job.id}/signals")
        [signal] = listed.json()
        assert signal["sent_by"] == link_of(desk, asked).sender

    async def test_what_is_wrong_is_told_beside_the_field_and_what_was_typed_is_kept(
        self, desk: Desk
    ):
        asked = await desk.ask()
        page = await desk.fill_in(asked.path, decision="maybe", pieces="50", comment="So so.")
        assert page.status_code == 422
        assert "Choose one of these." in page.text
        page = await desk.fill_in(asked.path, decision="reject", pieces="50", comment="So so.")
        assert page.status_code == 422
        assert "This should be less than or equal to 20." in page.text
        assert 'value="reject" checked' in page.text
        assert 'value="50"' in page.text
        assert "So so.</textarea>" in page.text
        assert (await desk.look(asked.path)).status_code == 200

    async def test_what_was_typed_is_no_html(self, desk: Desk):
        hostile = "</textarea><script>alert(1)</script>"
        asked = await desk.ask()
        page = await desk.fill_in(asked.path, decision=hostile, pieces='"><b>', comment=hostile)
        assert page.status_code == 422
        assert "<script" not in page.text
        assert "&lt;script&gt;" in page.text
        assert 'value="&#34;&gt;&lt;b&gt;"' in page.text

    async def test_the_first_answer_stands(self, desk: Desk):
        asked = await desk.ask()
        assert (await desk.fill_in(asked.path, decision="approve")).status_code == 303
        second = await desk.look(asked.path)
        assert second.status_code == 409
        assert "Already answered" in words(second.text)
        third = await desk.fill_in(asked.path, decision="reject")
        assert third.status_code == 409
        assert "Already answered" in words(third.text)
        wrong = await desk.fill_in(asked.path, decision="maybe")
        assert wrong.status_code == 409
        assert await asked.job.result(timeout=20) == "approve 1 "

    async def test_a_button_that_is_pressed_twice_does_no_harm(self, desk: Desk):
        asked = await desk.ask()
        answers = await asyncio.gather(
            *(desk.fill_in(asked.path, decision="approve") for _ in range(4))
        )
        assert [answer.status_code for answer in answers] == [303] * 4

    async def test_of_two_links_the_first_answer_stands(self, desk: Desk):
        asked = await desk.ask()
        other = path_of(await asked.job.signal_url("approval"))
        answers = await asyncio.gather(
            desk.fill_in(asked.path, decision="approve"), desk.fill_in(other, decision="reject")
        )
        assert sorted(answer.status_code for answer in answers) == [303, 409]
        stands = "approve" if answers[0].status_code == 303 else "reject"
        assert await asked.job.result(timeout=20) == f"{stands} 1 "

    async def test_a_program_sends_and_gets_json(self, desk: Desk):
        asked = await desk.ask()
        wrong = await desk.send(asked.path, {"decision": "approve", "pieces": 50})
        assert (wrong.status_code, wrong.json()["code"]) == (422, "SCHEMA_VALIDATION_ERROR")
        assert wrong.headers["content-type"] == "application/problem+json"
        assert wrong.json()["errors"][0]["path"] == "$.pieces"
        good = await desk.send(asked.path, {"decision": "approve"})
        assert (good.status_code, good.json()) == (200, {"signal": "approval", "state": "received"})
        other = await desk.send(asked.path, {"decision": "reject"})
        assert (other.status_code, other.json()["code"]) == (409, "SIGNAL_TAKEN")


@together
class TestALinkThatCannotBeAnswered:
    async def test_one_that_was_changed_is_told_as_one_that_does_not_exist(self, desk: Desk):
        asked = await desk.ask()
        changed = asked.path[:-4] + "AAAA"
        for answer in (
            await desk.look(changed),
            await desk.fill_in(changed, decision="approve"),
            await desk.look("/signals/nonsense"),
            await desk.look("/signals/" + "A" * 5_000),
        ):
            assert answer.status_code in {400, 404}
            assert answer.headers["content-type"].startswith("text/html")
        assert (await desk.person.head(changed)).status_code == 404
        assert (await desk.send(changed, {})).json()["code"] == "NOT_FOUND"

    async def test_one_of_a_foreign_key_a_foreign_job_or_signal_is_none(self, desk: Desk):
        asked = await desk.ask()
        foreign = write_token(b"a key of somebody else's", link_of(desk, asked))
        for path in (
            f"/signals/{foreign}",
            forged(desk, asked, job=uuid4()),
            forged(desk, asked, name="payment"),
        ):
            assert (await desk.look(path)).status_code == 404

    async def test_one_whose_time_is_over_says_so(self, desk: Desk):
        asked = await desk.ask()
        old = forged(desk, asked, expires=int(time.time()) - 1)
        assert (await desk.look(old)).status_code == 410
        answer = await desk.fill_in(old, decision="approve")
        assert answer.status_code == 410
        assert "no longer valid" in words(answer.text)
        assert (await desk.send(old, {"decision": "approve"})).json()["code"] == "LINK_EXPIRED"
        assert (await desk.look(asked.path)).status_code == 200

    async def test_one_of_a_job_that_has_ended_says_so(self, desk: Desk):
        asked = await desk.ask()
        await asked.job.cancel()
        answer = await desk.fill_in(asked.path, decision="approve")
        assert answer.status_code == 409
        assert "No answer is needed any more" in words(answer.text)
        assert (await desk.look(f"{asked.path}/answered")).status_code == 409

    async def test_one_whose_signal_did_not_come_in_time_says_so(self, database_server: str):
        async with desk_of(database_server) as desk:
            asked = await desk.ask()
            long = path_of(await asked.job.signal_url("approval", valid=timedelta(days=30)))
            await desk.api.engine.move_clock(timedelta(days=4))

            async def failed() -> bool:
                return (await asked.job.status()).state == "failed"

            await eventually(failed)
            answer = await desk.fill_in(long, decision="approve")
            assert answer.status_code == 409
            assert "The time to answer is over" in words(answer.text)

    async def test_a_job_that_goes_on_where_it_stopped_still_takes_the_links_that_were_sent(
        self, desk: Desk
    ):
        asked = await desk.ask()
        await asked.job.cancel()
        await desk.app.retry(asked.job.id)
        assert (await desk.fill_in(asked.path, decision="approve")).status_code == 303
        assert await asked.job.result(timeout=20) == "approve 1 "

    async def test_a_job_that_is_begun_anew_asks_anew(self, desk: Desk):
        asked = await desk.ask()
        await asked.job.cancel()
        await desk.app.retry(asked.job.id, force=True)
        answer = await desk.look(asked.path)
        assert answer.status_code == 410
        assert (await desk.fill_in(asked.path, decision="approve")).status_code == 410

    async def test_other_bodies_are_refused_on_a_page_too(self, desk: Desk):
        asked = await desk.ask()
        headers = {"Accept": "text/html", "Content-Type": "text/plain"}
        assert (
            await desk.person.post(asked.path, content=b"x", headers=headers)
        ).status_code == 415
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        large = await desk.person.post(asked.path, content=b"a" * 1_100_000, headers=headers)
        assert (large.status_code, "too long" in words(large.text)) == (413, True)
        for body in (b"%24.comment=%ff", b"&".join([b"a=1"] * 1_001), b"\xff"):
            broken = await desk.person.post(asked.path, content=body, headers=headers)
            assert (broken.status_code, "went wrong" in words(broken.text)) == (400, True)
        nul = await desk.fill_in(asked.path, decision="approve", comment="a\x00b")
        assert (nul.status_code, "U+0000" in nul.text) == (422, True)

    async def test_who_comes_too_often_is_told_so_on_a_page(self, database_server: str):
        async with idle_desk(database_server, rate_other=2) as desk:
            for _ in range(2):
                await desk.look("/signals/x")
            answer = await desk.look("/signals/x")
            assert (answer.status_code, "try again" in words(answer.text)) == (429, True)

    async def test_a_key_that_was_changed_still_knows_the_links_that_it_made(
        self, database_server: str
    ):
        async with idle_desk(database_server) as desk:
            job = await desk.api.engine.submit(order, Order(SECRET))
            old = await job.signal_url("approval")
            both = (SecretStr("the-next-key-of-these-tests-0123456789"), SecretStr(KEY))
            changed = desk.app.settings.model_copy(update={"signing_keys": both})
            app = Headrace([order], settings=changed)
            assert read_token(app.links.keys, old.rpartition("/")[2]) is not None
            assert read_token(app.links.keys[:1], old.rpartition("/")[2]) is None
