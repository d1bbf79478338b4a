"""`headrace sources` and `headrace quarantine`."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from headrace import Headrace as App
from headrace.inbox.message import compose_message
from headrace.model.incoming import Incoming
from headrace.settings import load_settings
from tests.cli.conftest import Headrace

SETTINGS = {
    "HEADRACE_ENV": "testing",
    "HEADRACE_SIGNING_KEYS": "0123456789abcdef0123456789abcdef",
}
MADE = ("sources", "create", "shop", "--tenant", "acme", "--pipelines", "orders, other")


async def put_aside(database: str, secret: str) -> None:
    """One message of the shop's for a pipeline that nobody carries yet."""
    now = datetime.now(UTC)
    sent = compose_message("orders", {"item": "a book"}, source="shop", secret=secret, at=now)
    incoming = Incoming(
        message_id="m1", data=sent.data, attributes=sent.attributes, published_at=now
    )
    settings = load_settings({"HEADRACE_DATABASE_URL": database, **SETTINGS})
    async with App([], settings=settings) as app:
        verdict = await app.inbox.receive(incoming)
    assert verdict.reason == "unknown_pipeline"


class TestSources:
    async def test_one_is_made_listed_changed_and_disabled(self, headrace: Headrace) -> None:
        made = (await headrace(*MADE, "--json", **SETTINGS)).json()
        assert made["secret"].startswith("whsec_")
        assert (made["owner"], made["pipelines"]) == ("shop", ["orders", "other"])
        [listed] = (await headrace("sources", "list", "--json", **SETTINGS)).json()
        assert listed == {name: value for name, value in made.items() if name != "secret"}
        rotated = await headrace("sources", "rotate", "shop", "--overlap", "0s", **SETTINGS)
        assert rotated.out.startswith("whsec_")
        assert rotated.out.strip() != made["secret"]
        assert "not shown again" in rotated.err
        await headrace("sources", "disable", "shop", "--reason", "left", **SETTINGS)
        assert "left" in (await headrace("sources", "list", **SETTINGS)).out

    @pytest.mark.parametrize(
        ("arguments", "code", "says"),
        [
            (MADE, 23, "set HEADRACE_SIGNING_KEYS"),
            (("sources", "rotate", "none"), 22, "no source 'none'"),
            (("quarantine", "show", "7"), 22, "no message 7 in quarantine"),
        ],
    )
    async def test_what_cannot_be_is_told(
        self, headrace: Headrace, arguments: tuple[str, ...], code: int, says: str
    ) -> None:
        given = SETTINGS if "rotate" in arguments else {"HEADRACE_ENV": "testing"}
        refused = await headrace(*arguments, **given)
        assert (refused.code, says in refused.err) == (code, True)


class TestQuarantine:
    async def test_a_message_is_shown_taken_after_all_and_deleted(
        self, headrace: Headrace, database: str
    ) -> None:
        secret = (await headrace(*MADE, "--json", **SETTINGS)).json()["secret"]
        await put_aside(database, secret)
        [row] = (await headrace("quarantine", "list", "--json", **SETTINGS)).json()
        number = str(row["id"])
        assert (row["reason"], row["source"], row["tenant"]) == ("unknown_pipeline", "shop", "acme")
        shown = await headrace("quarantine", "show", number, "--content", **SETTINGS)
        assert shown.json()["pipeline"] == "orders"
        again = await headrace("quarantine", "redrive", number, "--app", "shop:app", **SETTINGS)
        assert again.out.startswith("inserted: ")
        once = await headrace("quarantine", "redrive", number, "--app", "shop:app", **SETTINGS)
        assert "has been redriven already" in once.err
        assert (await headrace("quarantine", "delete", number, **SETTINGS)).code == 0
        assert (await headrace("quarantine", "show", number, **SETTINGS)).code == 22
