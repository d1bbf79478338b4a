"""Messages with ordering keys."""

from tests.inbox.conftest import Post


class TestKeys:
    async def test_jobs_of_messages_of_a_key_are_ordered(self, post: Post):
        verdicts = [
            await post.receive(post.compose(words, ordering_key="a", concurrency_key="b"))
            for words in ("one", "one two")
        ]
        status = [await post.engine.app.status(verdict.job) for verdict in verdicts]
        assert [one.ordering_key for one in status] == ["a", "a"]
        assert [one.concurrency_key for one in status] == ["b", "b"]
        await post.engine.run_until_empty()
        ended = [await post.engine.app.status(verdict.job) for verdict in verdicts]
        first, second = ended
        assert first.finished_at is not None
        assert second.started_at is not None
        assert second.started_at >= first.finished_at
