"""What operators do about submissions by message."""

from __future__ import annotations

from datetime import UTC, datetime

from headrace import compose_message
from headrace.inbox.verdict import Verdict
from headrace.model.incoming import Incoming
from tests.web.administering import ROOT, WHY, call, entries
from tests.web.serving import Api, serve
from tests.web.whole import whole_engine

SHOP = {"source": "shop", "tenant": "acme", "owner": "orders", "pipelines": ["double"]}


async def receive(api: Api, secret: str, payload: object) -> Verdict:
    now = datetime.now(UTC)
    sent = compose_message("double", payload, source="shop", secret=secret)
    message = Incoming(
        message_id=str(now), data=sent.data, attributes=sent.attributes, published_at=now
    )
    return await api.engine.app.inbox.receive(message)


async def test_a_source_is_made_and_disabled_and_its_messages_are_redriven_and_deleted(
    vector_server: str,
) -> None:
    engine = whole_engine(vector_server)
    async with engine, serve(engine) as api:
        made = await call(api, "POST", "/inbox-sources", 201, **SHOP)
        await call(api, "POST", "/inbox-sources", 409, **SHOP)
        secret = (await call(api, "POST", "/inbox-sources/shop/rotate"))["secret"]
        assert (await receive(api, made["secret"], 2)).reason == ""  # both are good
        await call(api, "DELETE", "/inbox-sources/shop")
        assert (await receive(api, secret, 3)).reason == "not_allowed"
        [found] = await call(api, "GET", "/quarantine", cause="not_allowed")
        place = f"/quarantine/{found['number']}"
        refused = await call(api, "POST", f"{place}/redrive", 409)
        assert "the source is disabled" in refused["detail"]
        await engine.app.sources.enable("shop", by="tests")
        taken = await call(api, "POST", f"{place}/redrive")
        assert taken["outcome"] == "inserted"
        await call(api, "POST", f"{place}/redrive", 409)
        client = await api.client(ROOT)
        gone = await client.delete(f"/v1/admin{place}", params=WHY)
        assert gone.status_code == 204
        assert await call(api, "GET", "/quarantine") == []
        acts = [one["action"] for one in await entries(api) if not one["action"].endswith("list")]
        assert [name for name in acts if name.startswith("quarantine")] == [
            "quarantine.redrive",
            "quarantine.delete",
        ]
