"""The settings of push workers, and of those who ring for them."""

from __future__ import annotations

import pytest

from headrace.errors import SettingsError
from headrace.settings import Settings, load_settings
from tests.push.conftest import MakeSite
from tests.push.pipes import grind
from tests.waiting import eventually


def load(**given: str) -> Settings:
    return load_settings({f"HEADRACE_{name}": text for name, text in given.items()})


class TestSettings:
    def test_the_account_and_the_audience_need_each_other(self) -> None:
        for name in ("PUSH_AUDIENCE", "PUSH_SERVICE_ACCOUNT"):
            with pytest.raises(SettingsError, match="HEADRACE_PUSH_AUDIENCE"):
                load(**{name: "something"})

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("PUSH_KEYS_URL", "http://keys.example.com"),
            ("PUSH_ISSUER", "http://accounts.example.com"),
            ("PUSH_SLICE_S", "541"),
            ("PUSH_SLICE_S", "9"),
            ("PUSH_SUBSCRIPTION", "projects/p/subscriptions/s"),
        ],
    )
    def test_what_cannot_be_is_refused(self, name: str, text: str) -> None:
        with pytest.raises(SettingsError, match=f"HEADRACE_{name}"):
            load(**{name: text})


class TestRings:
    async def test_where_requests_wake_workers_each_job_is_rung_for(
        self, make_site: MakeSite
    ) -> None:
        site = await make_site()
        site.server.create_topic("headrace-jobs")
        await site.app.submit_many(grind, [1] * 12)
        await eventually(lambda: len(site.server.messages("headrace-jobs")) == 12)

    async def test_or_as_often_as_the_setting_says(self, make_site: MakeSite) -> None:
        site = await make_site(PUBSUB_JOBS_PER_RING="4")
        site.server.create_topic("headrace-jobs")
        await site.app.submit_many(grind, [1] * 12)
        await eventually(lambda: len(site.server.messages("headrace-jobs")) == 3)
