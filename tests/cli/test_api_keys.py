"""`headrace api-keys`."""

from __future__ import annotations

import json

import asyncpg
import pytest

from headrace.store.api_keys import find_holder
from tests.cli.conftest import Commands, Headrace

WHOSE = ("--tenant", "acme", "--owner", "ann")


class TestApiKeys:
    async def test_a_key_is_shown_once_and_opens_the_door_until_it_is_revoked(
        self, headrace: Headrace, database: str
    ) -> None:
        made = await headrace("api-keys", "create", *WHOSE, "--note", "shop")
        assert made.code == 0, made.err
        key = made.out.strip()
        prefix = key.split("_")[1]
        listed = await headrace("api-keys", "list")
        assert prefix in listed.out
        assert "jobs:read, jobs:write" in listed.out
        assert key.split("_")[2] not in listed.out
        connection = await asyncpg.connect(database)
        try:
            holder = await find_holder(connection, key)
            assert holder is not None
            assert (holder.tenant, holder.owner) == ("acme", "ann")
            assert holder.left_s == pytest.approx(90 * 86_400, abs=60)
            revoked = await headrace("api-keys", "revoke", prefix, "--reason", "lost")
            assert revoked.code == 0
            assert await find_holder(connection, key) is None
        finally:
            await connection.close()
        assert (await headrace("api-keys", "revoke", prefix)).code == 22

    async def test_programs_get_json(self, headrace: Headrace) -> None:
        options = ("--scopes", "operator", "--expires", "12h", "--json")
        made = (await headrace("api-keys", "create", *WHOSE, *options)).json()
        assert made["scopes"] == ["operator"]
        [listed] = (await headrace("api-keys", "list", "--tenant", "acme", "--json")).json()
        assert listed == {name: value for name, value in made.items() if name != "key"}
        assert (await headrace("api-keys", "list", "--tenant", "globex", "--json")).json() == []

    @pytest.mark.parametrize(
        "options",
        [
            ("--scopes", "jobs:read,admin"),
            ("--scopes", ""),
            ("--expires", "0"),
            ("--expires", "4000d"),
            ("--expires", "soon"),
            ("--tenant", ""),
        ],
        ids=" ".join,
    )
    async def test_what_makes_no_sense_makes_no_key(
        self, headrace: Headrace, options: tuple[str, ...]
    ) -> None:
        result = await headrace("api-keys", "create", *WHOSE, *options)
        assert result.code == 20
        assert options[0] in result.err


async def test_the_schema_has_to_be_there(bare_commands: Commands) -> None:
    result = await bare_commands.run("api-keys", "list", "--json")
    assert result.code == 23
    assert "headrace migrate" in result.err
    assert not json.loads(result.out or "[]")
