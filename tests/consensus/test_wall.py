"""What the API's role sees of the tables."""

import pytest

from headrace.pipelines.consensus import IdeaInput, consensus
from headrace.store.wall import behind_wall
from headrace.testing import Engine

TABLES = ("proposal_versions", "persona_reviews", "decisions")


class TestWall:
    @pytest.mark.parametrize(
        ("tenant", "owner", "seen"),
        [("Acme", "Ada", [1, 5, 1]), ("Acme", None, [2, 10, 2]), ("Bolt", None, [0, 0, 0])],
    )
    async def test_the_rows_of_others_are_not_there(
        self, engine: Engine, tenant: str, owner: str | None, seen: list[int]
    ):
        for name in ("Ada", "Bob"):
            await engine.submit(consensus, IdeaInput(idea="A mill."), tenant="Acme", owner=name)
        await engine.run_until_empty(30)
        async with engine.connection() as connection, behind_wall(connection, tenant, owner):
            counts = [
                await connection.fetchval(f"select count(*) from headrace_consensus.{table}")  # noqa: S608
                for table in TABLES
            ]
        assert counts == seen
