"""`headrace locks`, and what is left of it in the audit."""

from __future__ import annotations

from headrace import Headrace as App
from headrace.store.audit import list_actions
from tests.cli.conftest import Headrace

ENV = {"HEADRACE_ENV": "testing"}


class TestLocks:
    async def test_a_lock_is_listed_and_taken_from_its_holder(
        self, headrace: Headrace, database: str
    ) -> None:
        async with App([], database=database) as app:
            locks = app.locks
            lease = await locks.acquire(locks.request("repo:42", tenant="acme", reason="push"))
            await locks.acquire(locks.request("other", tenant="acme"))
            listed = (await headrace("locks", "list", "--prefix", "repo:", "--json", **ENV)).json()
            assert [(one["key"], one["token"]) for one in listed] == [("repo:42", lease.token)]
            assert "push" in (await headrace("locks", "list", "--tenant", "acme", **ENV)).out
            mine = ("repo:42", "--tenant", "acme", "--reason", "stuck")
            released = await headrace("locks", "release", *mine, **ENV)
            assert released.out.startswith("repo:42 is free; it was held by ")
            assert not await locks.release(lease)
            again = await headrace("locks", "release", *mine, **ENV)
            assert "nobody holds the lock 'repo:42'" in again.err
            async with app.connection() as connection:
                [done] = await list_actions(connection)
            assert (done.action, done.target, done.reason) == (
                "lock.release", "acme/repo:42", "stuck",
            )  # fmt: skip
            assert done.before["token"] == lease.token
