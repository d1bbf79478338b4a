"""Documents over HTTP: sent, followed, searched, ingested again and removed."""

import hashlib
from collections.abc import AsyncIterator

import asyncpg
import httpx2
import pytest

from headrace import PermanentError
from headrace.store.audit import list_actions
from headrace.store.wall import behind_wall
from headrace.testing import Engine
from headrace.web.auth.identity import Scope
from tests.documents.conftest import FOLDER, documents
from tests.documents.trial import TRIAL
from tests.web.pipes import double
from tests.web.serving import SETTINGS, USER, Api, serve, who

TEXT = b"# Sluices\n\nThe miller opens the sluice at dawn.\n\n# Wheels\n\nThe wheel turns slowly.\n"
REFUSED: list[tuple[bytes, str, dict[str, str], int]] = [
    (b"x" * 1025, "a.txt", {}, 413),
    (b"\x89PNG\r\n\x1a\n" + bytes(40), "a.pdf", {}, 415),
    (b"", "a.txt", {}, 422),
    (b"words", "a" * 121, {}, 422),
    (b"words", "a\u202efdp.txt", {}, 422),
    (b"words", "a.txt", {"sha256": "0" * 64}, 422),
    (b"words", "a.txt", {"sha256": "short"}, 422),
    (b"words", "a.txt", {"force": "maybe"}, 422),
    (b"words", "a.txt", {"owner": "bob"}, 422),
]
NOBODY = "0192f1e2-1234-7abc-8def-001122334455"


@pytest.fixture
async def api(vector_server: str) -> AsyncIterator[Api]:
    """The API of an app that carries documents."""
    TRIAL.reset()
    settings = SETTINGS.model_copy(update={"max_upload_bytes": 1024})
    engine = Engine([documents, double], server=vector_server, settings=settings)
    async with engine, serve(engine) as running:
        yield running


async def send(
    client: httpx2.AsyncClient, data: bytes = TEXT, name: str = "mill.md", **fields: str
) -> httpx2.Response:
    return await client.post("/v1/documents", files={"file": (name, data)}, data=fields)


async def ingested(api: Api, client: httpx2.AsyncClient) -> str:
    answer = await send(client)
    assert answer.status_code == 202, answer.text
    await api.engine.run_until_empty()
    return str(answer.json()["document_id"])


class TestSending:
    async def test_a_file_is_stored_ingested_and_shown(self, api: Api):
        client = await api.client()
        answer = await send(client, sha256=hashlib.sha256(TEXT).hexdigest())
        assert (answer.status_code, answer.json()["is_new"]) == (202, True)
        path = answer.headers["Location"]
        before = (await client.get(path)).json()
        assert (before["stage"], before["job_id"]) == ("uploaded", answer.json()["job_id"])
        assert (await client.get(f"{path}/chunks")).json()["items"] == []
        await api.engine.run_until_empty()
        after = (await client.get(path)).json()
        assert (after["stage"], after["progress"], after["kind"]) == ("complete", 100, "markdown")
        assert (await client.get(f"/v1/jobs/{after['job_id']}")).json()["state"] == "completed"

    async def test_the_same_content_has_one_document_until_it_is_forced(self, api: Api):
        client = await api.client()
        first, again = await send(client), await send(client, name="other.md")
        assert (again.status_code, again.json()["is_new"]) == (202, False)
        assert again.json()["job_id"] == first.json()["job_id"]
        await api.engine.run_until_empty()
        refused = await send(client)
        assert (refused.status_code, refused.json()["code"]) == (409, "CONFLICT")
        assert refused.json()["document_id"] == first.json()["document_id"]
        forced = await send(client, force="true")
        assert (forced.status_code, forced.json()["is_new"]) == (202, True)
        assert forced.json()["job_id"] != first.json()["job_id"]

    async def test_a_key_gives_the_first_answer_again(self, api: Api):
        client = await api.client()
        file, headers = {"file": ("mill.md", TEXT)}, {"Idempotency-Key": "once"}
        first = await client.post("/v1/documents", files=file, headers=headers)
        await api.engine.run_until_empty()
        again = await client.post("/v1/documents", files=file, headers=headers)
        assert (again.status_code, again.json()) == (202, first.json())
        assert again.headers["Idempotent-Replay"] == "true"

    async def test_a_key_stands_for_the_content_and_what_is_told_of_it(self, api: Api):
        client = await api.client()
        headers = {"Idempotency-Key": "once"}
        await client.post("/v1/documents", files={"file": ("mill.md", TEXT)}, headers=headers)
        for name, content in (("mill.md", TEXT.swapcase()), ("silo.md", TEXT)):
            other = await client.post(
                "/v1/documents", files={"file": (name, content)}, headers=headers
            )
            assert (other.status_code, other.json()["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
        assert len((await client.get("/v1/documents")).json()["items"]) == 1

    async def test_the_history_of_its_job_names_who_sent_it(self, api: Api):
        client = await api.client()
        job = (await send(client)).json()["job_id"]
        [event] = await api.engine.events(job)
        actors = {one["actor"] for one in (await client.get(f"/v1/jobs/{job}/history")).json()}
        assert event.actor is not None
        assert actors == {event.actor}

    async def test_what_is_not_taken_is_refused_and_nothing_is_stored(self, api: Api):
        client = await api.client()
        for data, name, fields, status in REFUSED:
            answer = await send(client, data, name, **fields)
            assert answer.status_code == status, answer.text
            assert answer.headers["content-type"] == "application/problem+json"
        assert (await client.get("/v1/documents")).json()["items"] == []

    async def test_what_is_no_form_with_one_file_is_refused(self, api: Api):
        client = await api.client()
        two = [("file", ("a.txt", b"a")), ("file", ("b.txt", b"b"))]
        broken = {"Content-Type": "multipart/form-data"}
        for answer, status in (
            (await client.post("/v1/documents", json={"upload": "x"}), 422),
            (await client.post("/v1/documents", content=b"words"), 415),
            (await client.post("/v1/documents"), 415),
            (await client.post("/v1/documents", files=two), 400),
            (await client.post("/v1/documents", files={"other": ("a.txt", b"a")}), 422),
            (await client.post("/v1/documents", content=b"x", headers=broken), 400),
        ):
            assert answer.status_code == status, answer.text


class TestLooking:
    async def test_documents_are_listed_newest_first_in_pages(self, api: Api):
        client = await api.client()
        sent = [
            (await send(client, f"text {number}".encode())).json()["document_id"]
            for number in range(3)
        ]
        first = (await client.get("/v1/documents", params={"limit": 2})).json()
        rest = (await client.get("/v1/documents", params={"cursor": first["next"]})).json()
        found = [one["document_id"] for one in first["items"] + rest["items"]]
        assert (found, rest["next"]) == (sent[::-1], None)
        far = f"0001-01-01T00:00:00+23:59_{NOBODY}"
        for wrong in ({"cursor": "x"}, {"cursor": far}, {"limit": 0}, {"owner": "bob"}):
            assert (await client.get("/v1/documents", params=wrong)).status_code == 400

    async def test_chunks_come_in_order_and_in_pages(self, api: Api):
        client = await api.client()
        path = f"/v1/documents/{await ingested(api, client)}/chunks"
        whole = (await client.get(path)).json()
        assert "".join(chunk["text"] for chunk in whole["items"]).count("sluice") == 1
        assert whole["next"] is None
        first = (await client.get(path, params={"limit": 1})).json()
        assert [chunk["ordinal"] for chunk in first["items"]] == [0]
        assert first["next"] == (1 if len(whole["items"]) > 1 else None)
        last = whole["items"][-1]["ordinal"]
        full = (await client.get(path, params={"first": last, "limit": 1})).json()
        assert (len(full["items"]), full["next"]) == (1, None)

    async def test_the_largest_page_and_the_last_ordinal_are_answered(self, api: Api):
        client = await api.client()
        path = f"/v1/documents/{await ingested(api, client)}/chunks"
        largest = await client.get(path, params={"limit": 1_000})
        assert (largest.status_code, bool(largest.json()["items"])) == (200, True)
        beyond = await client.get(path, params={"first": 1_000_000, "limit": 1_000})
        assert (beyond.status_code, beyond.json()["items"]) == (200, [])
        for wrong in ({"limit": 1_001}, {"first": 1_000_001}):
            assert (await client.get(path, params=wrong)).status_code == 400

    async def test_a_question_finds_the_nearest_passages(self, api: Api):
        client = await api.client()
        document = await ingested(api, client)
        body = {"query": "Who opens the sluice?", "top_k": 1, "document_ids": [document]}
        [hit] = (await client.post("/v1/documents/search", json=body)).json()["items"]
        assert hit["document_id"] == document
        assert "sluice" in hit["text"]
        assert hit["position"].startswith("line")
        elsewhere = {**body, "document_ids": [NOBODY]}
        assert (await client.post("/v1/documents/search", json=elsewhere)).json()["items"] == []

    async def test_an_embedder_that_refuses_to_work_is_not_told_to_users(self, api: Api):
        client = await api.client()
        await ingested(api, client)
        TRIAL.failure = PermanentError("the key sk-canary is wrong")
        answer = await client.post("/v1/documents/search", json={"query": "sluice"})
        assert (answer.status_code, answer.json()["code"]) == (500, "INTERNAL_ERROR")
        assert "canary" not in answer.text

    async def test_a_question_out_of_range_is_refused(self, api: Api):
        client = await api.client()
        for body in (
            {"query": ""},
            {"query": "   "},
            {"query": "x" * 2_001},
            {"query": "x", "top_k": 101},
            {"query": "x", "min_score": 2},
            {"query": "x", "document_ids": ["x"]},
            {"query": "x", "tenant": "globex"},
        ):
            answer = await client.post("/v1/documents/search", json=body)
            assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION_ERROR")


class TestGoingOn:
    async def test_a_cancelled_document_goes_on_and_a_complete_one_is_forced(self, api: Api):
        client = await api.client()
        sent = (await send(client)).json()
        await client.post(f"/v1/jobs/{sent['job_id']}/cancel")
        path = f"/v1/documents/{sent['document_id']}/retry"
        answer = await client.post(path, json={"reason": "by mistake"})
        assert (answer.status_code, answer.json()["run"]) == (202, 2)
        assert (await client.post(path, json={"reason": "twice"})).status_code == 409
        await api.engine.run_until_empty()
        assert (await client.post(path, json={"reason": "more"})).status_code == 409
        forced = await client.post(path, json={"reason": "more", "force": True})
        assert (forced.status_code, forced.json()["run"]) == (202, 3)

    async def test_one_that_is_removed_is_gone(self, api: Api):
        client = await api.client()
        document = await ingested(api, client)
        assert (await client.delete(f"/v1/documents/{document}")).status_code == 204
        assert (await client.delete(f"/v1/documents/{document}")).status_code == 404
        search = await client.post("/v1/documents/search", json={"query": "sluice?"})
        assert search.json()["items"] == []
        assert not list(FOLDER.rglob(f"{document}*"))


class TestErasing:
    async def test_a_document_goes_with_its_job(self, api: Api):
        client = await api.client()
        document = await ingested(api, client)
        job = (await client.get(f"/v1/documents/{document}")).json()["job_id"]
        assert (await client.delete(f"/v1/jobs/{job}")).json()["is_erased"] is True
        assert (await client.get(f"/v1/documents/{document}")).status_code == 404
        assert not list(FOLDER.rglob(f"{document}*"))
        assert await left(api) == [0, 0, 0]

    async def test_the_job_is_erased_with_its_document_and_both_are_recorded(self, api: Api):
        client = await api.client()
        document = await ingested(api, client)
        job = (await client.get(f"/v1/documents/{document}")).json()["job_id"]
        await client.delete(f"/v1/documents/{document}")
        assert (await client.get(f"/v1/jobs/{job}")).json()["erased_at"] is not None
        assert (await api.engine.job(job)).input is None
        async with api.engine.connection() as connection:
            actions = await list_actions(connection)
        assert [one.target for one in actions if one.action == "document.delete"] == [document]


class TestTheWall:
    async def test_nothing_of_others_can_be_read(self, api: Api):
        await ingested(api, await api.client())
        async with api.engine.connection() as connection:
            tables = await connection.fetch(
                """
                select oid::regclass::text as name, relrowsecurity as has_wall from pg_class
                where relnamespace = 'headrace_documents'::regnamespace and relkind in ('r', 'p')
                """
            )
            assert {row["name"] for row in tables if not row["has_wall"]} == {
                "headrace_documents.spaces"
            }
            # What parsers sent is looked at by no route for an owner.
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with behind_wall(connection, "acme", "ann"):
                    await connection.fetch("select from headrace_documents.callbacks")
            shown = {row["name"] for row in tables if row["has_wall"]}
            for table in shown - {"headrace_documents.callbacks"}:
                count = f"select count(*) from {table}"  # noqa: S608
                async with behind_wall(connection, "acme", "ann"):
                    assert await connection.fetchval(count) > 0, table
                for stranger in (("acme", "bob"), ("globex", None)):
                    async with behind_wall(connection, *stranger):
                        assert await connection.fetchval(count) == 0, table


async def left(api: Api) -> list[int]:
    """Rows of documents, chunks and vectors."""
    tables = ("documents", "chunks", "vectors")
    async with api.engine.connection() as connection:
        return [
            await connection.fetchval(f"select count(*) from headrace_documents.{table}")  # noqa: S608
            for table in tables
        ]


class TestWhoMay:
    async def test_another_owner_finds_nothing(self, api: Api):
        document = await ingested(api, await api.client())
        path = f"/v1/documents/{document}"
        for stranger in (who("globex", "ann"), who("acme", "bob")):
            client = await api.client(stranger)
            unknown = await client.get(f"/v1/documents/{NOBODY}")
            for answer in (
                await client.get(path),
                await client.get(f"{path}/chunks"),
                await client.post(f"{path}/retry", json={"reason": "x", "force": True}),
                await client.delete(path),
            ):
                assert answer.status_code == 404
                assert answer.json()["detail"] == unknown.json()["detail"]
            assert (await client.get("/v1/documents")).json()["items"] == []
            body = {"query": "sluice?", "document_ids": [document]}
            found = await client.post("/v1/documents/search", json=body)
            assert found.json()["items"] == []

    async def test_each_takes_its_scope(self, api: Api):
        path = f"/v1/documents/{NOBODY}"
        wanted = [
            ("POST", "/v1/documents", Scope.JOBS_WRITE),
            ("GET", "/v1/documents", Scope.JOBS_READ),
            ("POST", "/v1/documents/search", Scope.JOBS_READ),
            ("GET", path, Scope.JOBS_READ),
            ("GET", f"{path}/chunks", Scope.JOBS_READ),
            ("POST", f"{path}/retry", Scope.JOBS_WRITE),
            ("DELETE", path, Scope.JOBS_WRITE),
        ]
        stranger = await api.stranger()
        for method, place, scope in wanted:
            [other] = USER - {scope}
            client = await api.client(who("acme", "ann", other))
            answer = await client.request(method, place)
            assert (answer.status_code, answer.json()["code"]) == (403, "FORBIDDEN"), place
            assert (await stranger.request(method, place)).status_code == 401

    async def test_without_the_pipeline_there_is_no_such_path(self, database_server: str):
        engine = Engine([double], server=database_server, settings=SETTINGS)
        async with engine, serve(engine) as api:
            client = await api.client()
            assert (await client.get("/v1/documents")).status_code == 404
            assert "/v1/documents" not in (await client.get("/openapi.json")).json()["paths"]
