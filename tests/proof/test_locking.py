"""I10 is broken in each way, and the checker has to say so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.proof.checker import check
from tests.proof.guard import Guard, GuardedWrite, read_guard
from tests.proof.world import World

# Each with the seconds at which it began and ended, and how.
HELD = [
    (11, 0, 5, "released"),
    (13, 5, 65, "expired"),
    (14, 65, 70, "superseded"),
    (20, 71, None, ""),
]


async def hold(world: World, token: int, began: int, ended: int | None, how: str) -> None:
    statement = """
        insert into headrace.lock_grants (token, change, tenant, key, at)
        values ($1, $2, 't', 'k', headrace.now() + $3 * interval '1 s')
    """
    await world.plant(statement, token, "granted", began)
    if ended is not None:
        await world.plant(statement, token, how, ended)


@pytest.fixture
async def held(world: World) -> World:
    for one in HELD:
        await hold(world, *one)
    return world


async def test_nothing_is_found_where_locks_are_in_order(held: World) -> None:
    assert await held.found() == set()


class TestGrants:
    async def test_i10_two_hold_a_lock_at_once(self, held: World) -> None:
        await hold(held, 21, 72, 73, "released")
        assert await held.found() == {"I10"}

    async def test_i10_a_lock_is_granted_before_the_one_before_has_ended(self, held: World) -> None:
        await held.plant(
            "update headrace.lock_grants set at = at + interval '2 s'"
            " where token = 11 and change = 'released'"
        )
        assert await held.found() == {"I10"}

    async def test_i10_a_token_that_is_lower_than_an_earlier_one(self, held: World) -> None:
        await held.plant("update headrace.lock_grants set token = 12 where token = 14")
        assert await held.found() == {"I10"}

    async def test_i10_a_grant_that_ends_twice(self, held: World) -> None:
        await held.plant(
            "insert into headrace.lock_grants (token, change, tenant, key, at)"
            " select token, 'forced', tenant, key, at from headrace.lock_grants"
            " where token = 11 and change = 'released'"
        )
        assert await held.found() == {"I10"}

    async def test_i10_an_end_of_what_was_never_granted(self, held: World) -> None:
        await held.plant("delete from headrace.lock_grants where token = 11 and change = 'granted'")
        assert await held.found() == {"I10"}


class TestGuardedWrites:
    @pytest.mark.parametrize(
        ("last", "invariants"),
        [
            (GuardedWrite("k", 20, accepted=True), set()),
            (GuardedWrite("k", 14, accepted=False), set()),
            (GuardedWrite("k", 14, accepted=True), {"I10"}),
            (GuardedWrite("k", 20, accepted=False), {"I10"}),
            (GuardedWrite("k", 21, accepted=True), {"I10"}),
        ],
        ids=["newest", "old and refused", "old and taken", "newest refused", "never granted"],
    )
    async def test_i10_what_the_resource_took(
        self, held: World, last: GuardedWrite, invariants: set[str]
    ) -> None:
        evidence = await held.evidence()
        before = [GuardedWrite("k", token, accepted=True) for token in (13, 20)]
        found = check(replace(evidence, guarded=[*before, last]))
        assert {violation.invariant for violation in found} == invariants

    def test_the_resource_refuses_a_token_lower_than_it_has_seen(self, tmp_path: Path) -> None:
        guard = Guard(tmp_path)
        assert [guard.write("k", token) for token in (3, 3, 7, 5, 7)] == [True] * 3 + [False, True]
        assert [one.accepted for one in read_guard(tmp_path)] == [True] * 3 + [False, True]
