from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest

from headrace.broker.access import Access
from headrace.broker.setup import Found, set_up
from headrace.broker.topology import Names, Push, Topology, topology
from headrace.errors import BrokerUnavailableError
from headrace.testing import PubSubServer
from headrace.testing.pubsub import Call, Code, Fail

WANTED = topology(Names())
PUSH = Push("https://worker.example.com/push", "signer@p.iam", "https://worker.example.com")


@pytest.fixture
def access(server: PubSubServer) -> Access:
    return Access(server.project, server.address)


def states(found: list[Found]) -> set[str]:
    return {one.state for one in found}


def changed(name: str, **settings: object) -> Topology:
    """What there should be, with another setting of one subscription."""
    subscriptions = tuple(
        dataclasses.replace(one, **settings) if one.name == name else one  # type: ignore[arg-type]
        for one in WANTED.subscriptions
    )
    return Topology(WANTED.topics, subscriptions)


class TestSetUp:
    @pytest.mark.parametrize("wanted", [WANTED, topology(Names(), filtered=True, push=PUSH)])
    async def test_all_is_made_and_then_as_it_should_be(
        self, access: Access, wanted: Topology
    ) -> None:
        assert states(await set_up(access, wanted)) == {"created"}
        assert states(await set_up(access, wanted)) == {"ok"}
        assert states(await set_up(access, wanted, check=True)) == {"ok"}

    async def test_a_check_makes_nothing(self, access: Access) -> None:
        for _ in range(2):
            assert states(await set_up(access, WANTED, check=True)) == {"missing"}

    async def test_what_differs_is_told_and_then_changed(self, access: Access) -> None:
        await set_up(access, changed("headrace-jobs-sub", ack_deadline=timedelta(seconds=20)))
        [drift] = [one for one in await set_up(access, WANTED, check=True) if one.is_drift]
        assert drift.name == "headrace-jobs-sub"
        assert drift.differences == ("ack_deadline_seconds: 20 instead of 60",)
        assert "changed" in states(await set_up(access, WANTED))
        assert states(await set_up(access, WANTED, check=True)) == {"ok"}

    async def test_a_filter_that_differs_leaves_all_as_it_is(self, access: Access) -> None:
        other = changed("headrace-jobs-sub", filter='attributes.kind = "job"', retry=None)
        await set_up(access, other)
        for _ in range(2):
            [drift] = [one for one in await set_up(access, WANTED) if one.is_drift]
            assert drift.state == "differs"
            assert len(drift.differences) == 2

    async def test_a_refusal_says_what_it_is_about_and_nothing_of_the_server(
        self, access: Access, server: PubSubServer
    ) -> None:
        refused = Fail(call=Call.GET_SUBSCRIPTION, code=Code.PERMISSION_DENIED)
        with server.inject(refused), pytest.raises(BrokerUnavailableError) as failure:
            await set_up(access, WANTED)
        assert str(failure.value) == "permission denied for subscription headrace-jobs-sub"


class TestTopology:
    def test_all_names_of_the_settings_are_in_it(self) -> None:
        names = Names("jobs", "done", "dead", "stuck", "ears", timedelta(seconds=30))
        made = topology(names, push=PUSH)
        assert {topic.name for topic in made.topics} == {"jobs", "done", "dead", "stuck"}
        assert [one.name for one in made.subscriptions] == [
            "ears", "done-sub", "dead-sub", "stuck-sub", "jobs-push-sub"
        ]  # fmt: skip

    def test_results_and_dead_letters_come_in_order(self) -> None:
        ordered = {one.topic for one in WANTED.subscriptions if one.ordered}
        assert ordered == {"headrace-results", "headrace-dead-letters"}

    def test_doorbells_of_their_own_live_for_ten_minutes(self) -> None:
        doorbells, inbox, *_ = topology(Names(), filtered=True).subscriptions
        assert doorbells.retention == timedelta(minutes=10)
        assert doorbells.dead_letters is None
        assert inbox.dead_letters is not None
        assert inbox.dead_letters.deliveries == 100
