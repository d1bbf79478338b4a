"""`headrace webhooks`."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Headrace

SETTINGS = {
    "HEADRACE_ENV": "testing",
    "HEADRACE_SIGNING_KEYS": "0123456789abcdef0123456789abcdef",
    "HEADRACE_WEBHOOK_PRIVATE_HOSTS": "127.0.0.1",
}
URL = "http://127.0.0.1:9/in"
ACME = ("--tenant", "acme")


class TestWebhooks:
    async def test_a_webhook_is_made_shown_changed_and_deleted(self, headrace: Headrace) -> None:
        made = (await headrace("webhooks", "create", URL, *ACME, "--json", **SETTINGS)).json()
        assert made["secret"].startswith("whsec_")
        webhook = made["id"]
        [listed] = (await headrace("webhooks", "list", *ACME, "--json", **SETTINGS)).json()
        assert listed == {name: value for name, value in made.items() if name != "secret"}
        rotated = await headrace(
            "webhooks", "rotate", webhook, *ACME, "--overlap", "0s", **SETTINGS
        )
        assert rotated.out.startswith("whsec_")
        assert rotated.out.strip() != made["secret"]
        assert "not shown again" in rotated.err
        sent = await headrace("webhooks", "test", webhook, *ACME, **SETTINGS)
        deliveries = await headrace("webhooks", "deliveries", webhook, *ACME, "--json", **SETTINGS)
        [waiting] = deliveries.json()
        assert waiting["event_id"] in sent.out
        assert (waiting["kind"], waiting["state"]) == ("webhook.test", "waiting")
        assert (
            "is enabled" in (await headrace("webhooks", "enable", webhook, *ACME, **SETTINGS)).out
        )
        assert (await headrace("webhooks", "delete", webhook, *ACME, **SETTINGS)).code == 0
        again = await headrace("webhooks", "delete", webhook, *ACME, **SETTINGS)
        assert (again.code, again.err) == (22, f"headrace: no webhook {webhook}\n")

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (("create", "https://10.0.0.1/"), "url: 10.0.0.1 is no public host"),
            (("create", URL, "--events", "job.lost"), "events: 'job.lost' is none"),
            (("rotate", "00000000-0000-0000-0000-000000000000", "--overlap", "8d"), "0 to 7 days"),
        ],
    )
    async def test_what_makes_no_sense_is_refused(
        self, headrace: Headrace, arguments: tuple[str, ...], says: str
    ) -> None:
        refused = await headrace("webhooks", *arguments, **SETTINGS)
        assert refused.code == 20
        assert says in refused.err

    async def test_without_a_key_there_are_none(self, headrace: Headrace) -> None:
        refused = await headrace("webhooks", "create", URL)
        assert "set HEADRACE_SIGNING_KEYS" in refused.err
        assert refused.out == ""
