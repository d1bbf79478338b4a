"""Files that are sent ahead, to addresses that need no credential."""

import os
import time
from collections.abc import AsyncIterator
from datetime import datetime

import pytest
from pydantic import SecretStr

from headrace.testing import Engine
from headrace.web.auth.identity import Scope
from headrace.web.library import HELD
from headrace.web.signed_uploads import LIFE_S, SignedUpload, is_signed, sign_upload
from tests.documents.conftest import FOLDER, documents
from tests.documents.trial import TRIAL
from tests.web.hooking import KEYS
from tests.web.pipes import double
from tests.web.serving import SETTINGS, USER, Api, serve, who

TEXT = b"# Sluices\n\nThe miller opens the sluice at dawn.\n"
MASTER = tuple(key.encode() for key in KEYS)


@pytest.fixture
async def api(vector_server: str) -> AsyncIterator[Api]:
    """The API of an app that carries documents, and signs."""
    TRIAL.reset()
    changed = {"max_upload_bytes": 1024, "signing_keys": tuple(map(SecretStr, KEYS))}
    settings = SETTINGS.model_copy(update=changed)
    engine = Engine([documents, double], server=vector_server, settings=settings)
    async with engine, serve(engine) as running:
        yield running


async def address(api: Api) -> dict[str, str]:
    answer = await (await api.client()).post("/v1/documents/uploads")
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def sent(api: Api, data: bytes = TEXT) -> str:
    """The id of a file that was sent ahead."""
    made = await address(api)
    answer = await (await api.stranger()).put(made["url"], content=data)
    assert answer.status_code == 204, answer.text
    return made["upload_id"]


class TestSending:
    async def test_a_file_is_sent_without_a_credential_and_taken_in(self, api: Api):
        client = await api.client()
        body = {"upload_id": await sent(api), "name": "mill.md"}
        answer = await client.post("/v1/documents", json=body)
        assert (answer.status_code, answer.json()["is_new"]) == (202, True)
        await api.engine.run_until_empty()
        shown = (await client.get(answer.headers["Location"])).json()
        assert (shown["name"], shown["stage"]) == ("mill.md", "complete")
        again = await client.post("/v1/documents", json=body)
        assert (again.status_code, again.json()["code"]) == (404, "NOT_FOUND")
        assert not list(FOLDER.rglob(body["upload_id"]))

    async def test_json_is_a_file_like_any_other(self, api: Api):
        made = await address(api)
        headers = {"Content-Type": "application/json"}
        content = b'{"not": "closed'
        answer = await (await api.stranger()).put(made["url"], content=content, headers=headers)
        assert answer.status_code == 204

    async def test_until_it_expires_a_file_can_be_sent_again(self, api: Api):
        made, stranger = await address(api), await api.stranger()
        for content in (b"first words", TEXT):
            assert (await stranger.put(made["url"], content=content)).status_code == 204
        body = {"upload_id": made["upload_id"], "name": "a.md", "sha256": "0" * 64}
        client = await api.client()
        assert (await client.post("/v1/documents", json=body)).status_code == 422
        del body["sha256"]
        document = (await client.post("/v1/documents", json=body)).json()["document_id"]
        shown = (await client.get(f"/v1/documents/{document}")).json()
        assert shown["bytes"] == len(TEXT)

    async def test_a_key_gives_the_first_answer_again(self, api: Api):
        client, headers = await api.client(), {"Idempotency-Key": "once"}
        body = {"upload_id": await sent(api), "name": "mill.md"}
        first = await client.post("/v1/documents", json=body, headers=headers)
        again = await client.post("/v1/documents", json=body, headers=headers)
        assert (again.status_code, again.json()) == (202, first.json())
        assert again.headers["Idempotent-Replay"] == "true"

    async def test_what_is_too_large_or_empty_is_refused(self, api: Api):
        made, stranger = await address(api), await api.stranger()
        for content, status in ((b"x" * 1025, 413), (b"", 400), (parts(), 413)):
            assert (await stranger.put(made["url"], content=content)).status_code == status
        body = {"upload_id": made["upload_id"], "name": "a.md"}
        assert (await (await api.client()).post("/v1/documents", json=body)).status_code == 404

    async def test_a_file_that_nobody_takes_in_is_removed(self, api: Api):
        upload = await sent(api)
        [path] = FOLDER.rglob(upload)
        past = time.time() - HELD.total_seconds() - 60
        os.utime(path, (past, past))
        service = api.server.config.app.state.service
        assert await service.documents.library.clear_held(HELD) == 1
        assert not path.exists()


async def parts() -> AsyncIterator[bytes]:
    """A file whose length nobody announces."""
    for _ in range(20):
        yield b"x" * 100


class TestAddresses:
    async def test_one_expires_after_300_s(self, api: Api):
        made = await address(api)
        left = datetime.fromisoformat(made["expires_at"]).timestamp() - time.time()
        assert LIFE_S - 30 < left <= LIFE_S
        signed = sign_upload(MASTER, who())
        assert is_signed(MASTER, signed, now=signed.expires - 1)
        assert not is_signed(MASTER, signed, now=signed.expires)

    async def test_one_that_was_changed_in_anything_is_refused(self, api: Api):
        made, other = await address(api), await address(api)
        stranger = await api.stranger()
        path, query = made["url"].split("?")
        values = dict(part.split("=") for part in query.split("&"))
        for changed in (
            {"expires": str(int(values["expires"]) + 1)},
            {"owner": "0" * 32},
            {"signature": "0" * 64},
        ):
            answer = await stranger.put(path, params={**values, **changed}, content=TEXT)
            assert (answer.status_code, answer.json()["code"]) == (403, "FORBIDDEN")
        moved = other["url"].split("?")[0]
        assert (await stranger.put(moved, params=values, content=TEXT)).status_code == 403
        assert (await stranger.put(path, content=TEXT)).status_code == 400
        assert not list(FOLDER.rglob(made["upload_id"]))

    def test_either_key_is_accepted_while_it_is_changed(self):
        old, new = MASTER[0], b"fedcba9876543210fedcba9876543210"
        signed = sign_upload((old,), who())
        assert is_signed((new, old), signed, now=0)
        assert not is_signed((new,), signed, now=0)

    def test_it_tells_nobody_whose_it_is(self):
        url = sign_upload(MASTER, who("acme", "ann")).url
        assert "acme" not in url
        assert "ann" not in url

    async def test_without_keys_there_are_none(self, vector_server: str):
        engine = Engine([documents], server=vector_server, settings=SETTINGS)
        async with engine, serve(engine) as api:
            answer = await (await api.client()).post("/v1/documents/uploads")
            assert (answer.status_code, answer.json()["code"]) == (409, "CONFLICT")
            forged = SignedUpload(sign_upload(MASTER, who()).upload, "0" * 32, 2**40, "0" * 64)
            refused = await (await api.stranger()).put(forged.url, content=TEXT)
            assert refused.status_code == 403


class TestWhoMay:
    async def test_a_file_is_taken_in_by_its_owner_alone(self, api: Api):
        body = {"upload_id": await sent(api), "name": "mill.md"}
        for stranger in (who("globex", "ann"), who("acme", "bob", *USER, Scope.TENANT_ADMIN)):
            answer = await (await api.client(stranger)).post("/v1/documents", json=body)
            assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
        assert (await (await api.client()).post("/v1/documents", json=body)).status_code == 202
