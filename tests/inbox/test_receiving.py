"""What becomes of messages that submit jobs: each has exactly one outcome."""

import asyncio
from datetime import UTC, datetime, timedelta

import orjson

from headrace.inbox.message import Message
from headrace.inbox.verdict import Outcome
from headrace.store.inbox import list_quarantine
from headrace.store.sources import disable_source, rotate_source
from tests.inbox.conftest import Post

WRONG: list[tuple[dict[str, object], str]] = [
    ({"payload": 7}, "invalid"),
    ({"payload": "x" * 600_000}, "invalid"),
    ({"priority": 9, "preset": "none such"}, "invalid"),
    ({"due_at": "2999-01-01T00:00:00Z"}, "invalid"),
    ({"owner": "somebody"}, "not_allowed"),
    ({"pipeline": "secret"}, "not_allowed"),
    ({"pipeline": "gone"}, "unknown_pipeline"),
]
FORGED = [
    ({"source": ""}, "unsigned"),
    ({"source": "nobody"}, "unknown_source"),
    ({"source": "sh\x00op"}, "unknown_source"),
    ({"signature": ""}, "unsigned"),
    ({"signature": "v1,AAAA"}, "unsigned"),
    ({"timestamp": "1"}, "unsigned"),
    ({"timestamp": "x"}, "unsigned"),
    ({"v": "2"}, "unsupported_version"),
]
GARBAGE = [
    (b"", "undecodable"),
    (b"{", "undecodable"),
    (b"\xff\xfe", "undecodable"),
    (b'{"pipeline": "reading", "pipeline": "secret", "payload": "x"}', "undecodable"),
    (b'{"pipeline": "reading", "payload": "\\u0000"}', "undecodable"),
    (b"[]", "invalid"),
    (b'{"pipeline": "reading"}', "invalid"),
    (b'{"pipeline": "reading", "payload": "x", "priority": 99}', "invalid"),
    (b" " * 9_000_000, "too_large"),
]


async def reasons(post: Post) -> list[str]:
    async with post.engine.app.connection() as connection:
        return [one.reason for one in await list_quarantine(connection)]


async def jobs(post: Post) -> int:
    async with post.engine.app.connection() as connection:
        count: int = await connection.fetchval("select count(*) from headrace.jobs")
        return count


class TestMessagesThatAreGood:
    async def test_a_message_is_a_job_of_its_source(self, post: Post) -> None:
        verdict = await post.receive(post.compose("It rains.", metadata={"book": 7}))
        assert verdict.outcome is Outcome.INSERTED
        await post.engine.run_until_empty()
        assert verdict.job
        status = await post.engine.app.status(verdict.job)
        assert (status.tenant, status.owner, status.state) == ("acme", "orders", "completed")
        assert await post.engine.app.job(verdict.job).result() == 2

    async def test_one_that_waited_for_days_is_as_good(self, post: Post) -> None:
        then = datetime.now(UTC) - timedelta(days=6)
        verdict = await post.receive(post.compose(at=then), published_at=then)
        assert verdict.outcome is Outcome.INSERTED

    async def test_the_key_before_is_good_while_both_are(self, post: Post) -> None:
        before = post.compose(id="before")
        async with post.engine.app.connection() as connection:
            await rotate_source(connection, "shop", overlap=timedelta(hours=1), by="test")
            assert (await post.receive(before)).outcome is Outcome.INSERTED
            await rotate_source(connection, "shop", overlap=timedelta(0), by="test")
        assert (await post.receive(post.compose(id="after"))).reason == "unsigned"


class TestMessagesThatComeAgain:
    async def test_a_second_delivery_is_the_same_job(self, post: Post) -> None:
        message = post.compose()
        first = await post.receive(message, message_id="m1")
        second = await post.receive(message, message_id="m1")
        assert (second.outcome, second.job) == (Outcome.DUPLICATE, first.job)
        assert await jobs(post) == 1

    async def test_an_id_is_one_job_even_if_it_was_published_twice(self, post: Post) -> None:
        first = await post.receive(post.compose(id="order-7"))
        again = post.compose(id="order-7", at=datetime.now(UTC) + timedelta(seconds=30))
        second = await post.receive(again)
        assert (second.outcome, second.job) == (Outcome.DUPLICATE, first.job)

    async def test_fifty_at_once_are_one_job(self, post: Post) -> None:
        message = post.compose(id="order-7")
        verdicts = await asyncio.gather(*(post.receive(message) for _ in range(50)))
        outcomes = [verdict.outcome for verdict in verdicts]
        assert sorted(outcomes) == [Outcome.DUPLICATE] * 49 + [Outcome.INSERTED]
        assert len({verdict.job for verdict in verdicts}) == 1
        assert await jobs(post) == 1

    async def test_q12_one_whose_job_ended_or_is_gone_is_stale(self, post: Post) -> None:
        message = post.compose(id="order-7")
        first = await post.receive(message)
        await post.engine.run_until_empty()
        second = await post.receive(message)
        assert (second.outcome, second.job) == (Outcome.STALE, first.job)
        async with post.engine.app.connection() as connection:
            await connection.execute("delete from headrace.jobs where id = $1", first.job)
        assert (await post.receive(message)).outcome is Outcome.STALE
        assert await jobs(post) == 0

    async def test_other_content_under_the_same_id_is_put_aside(self, post: Post) -> None:
        await post.receive(post.compose("It rains.", id="order-7"))
        verdict = await post.receive(post.compose("It pours.", id="order-7"))
        assert (verdict.outcome, verdict.reason) == (Outcome.QUARANTINED, "conflict")
        assert await jobs(post) == 1


class TestMessagesThatCanNeverBeTaken:
    async def test_q11_what_is_signed_and_wrong(self, post: Post) -> None:
        for fields, reason in WRONG:
            message = post.compose(**{"payload": "It rains.", **fields})
            verdict = await post.receive(message)
            assert (verdict.outcome, verdict.reason) == (Outcome.QUARANTINED, reason), fields
        assert await reasons(post) == [reason for _, reason in reversed(WRONG)]
        assert await jobs(post) == 0

    async def test_q11_what_is_not_signed_so(self, post: Post) -> None:
        for attributes, reason in FORGED:
            message = post.compose()
            verdict = await post.receive(Message(message.data, message.attributes | attributes))
            assert (verdict.outcome, verdict.reason) == (Outcome.QUARANTINED, reason), attributes
        assert await jobs(post) == 0

    async def test_q11_what_is_no_order_at_all(self, post: Post) -> None:
        for data, reason in GARBAGE:
            verdict = await post.receive(post.sealed(data))
            assert (verdict.outcome, verdict.reason) == (Outcome.QUARANTINED, reason), data[:40]
        assert await jobs(post) == 0

    async def test_data_that_was_changed_on_its_way(self, post: Post) -> None:
        message = post.compose("It rains.")
        changed = message.data.replace(b"rains", b"pours")
        assert (await post.receive(Message(changed, message.attributes))).reason == "unsigned"

    async def test_a_disabled_source(self, post: Post) -> None:
        async with post.engine.app.connection() as connection:
            await disable_source(connection, "shop", reason="left", by="test")
        assert (await post.receive(post.compose())).reason == "not_allowed"

    async def test_the_same_one_is_there_once_and_announced_once(self, post: Post) -> None:
        async with post.engine.app.connection() as connection:
            await connection.execute("insert into headrace.topics values ('dead-letters', 'dead')")
        message = post.compose(7)
        at = datetime.now(UTC)
        for number in range(3):
            forwarded = {"CloudPubSubDeadLetterSourceDeliveryCount": str(number)}
            again = Message(message.data, message.attributes | forwarded)
            verdict = await post.receive(again, message_id=str(number), published_at=at)
            assert verdict.outcome is Outcome.QUARANTINED
        assert await reasons(post) == ["invalid"]
        async with post.engine.app.connection() as connection:
            rows = await connection.fetch("select payload, kind from headrace.outbox")
        assert [row["kind"] for row in rows] == ["dead_letter"]
        told = orjson.loads(rows[0]["payload"])
        assert (told["reason"], told["source"], told["tenant"]) == ("invalid", "shop", "acme")
