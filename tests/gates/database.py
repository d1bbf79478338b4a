"""The statements of the gates, called one by one as a worker would."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from tests.proof.database import HEAD_START, QUEUE, Database, Held

EMPTY = """
    truncate headrace.slots, headrace.ordered, headrace.blocked, headrace.tenant_limits,
        headrace.pipelines;
    alter sequence headrace.positions restart;
"""
PIPELINE, VERSION = "proof", "1.0.0"
NOT_INLINE = False


class GatedDatabase(Database):
    """A session with a keyed lane beside its plain one."""

    keyed: int

    async def reset(self) -> None:
        """Forget everything."""
        await super().reset()
        await self.connection.execute(EMPTY)
        self.keyed = await self.lane_of(QUEUE, keyed=True)

    async def lane_of(self, queue: str, *, pipeline: str = PIPELINE, keyed: bool = False) -> int:
        """The number of a lane."""
        statement = "gates.add_keyed_lane" if keyed else "submit.add_lane"
        lane: int = (await self.run(statement, queue, pipeline, VERSION))[0][0]
        return lane

    async def add(
        self,
        count: int = 1,
        *,
        tenant: str = "default",
        order: str | None = None,
        key: str | None = None,
        lane: int | None = None,
        priority: int = 5,
        wait_s: float | None = None,
    ) -> list[UUID]:
        """Store jobs that have keys."""
        ids = [UUID(int=self.first_job + next(self._jobs)) for _ in range(count)]
        due = None
        if wait_s is not None:
            due = await self.connection.fetchval(
                "select headrace.now() + $1::float8 * interval '1 second'", wait_s
            )

        def each(value: Any) -> list[Any]:  # noqa: ANN401 - of any column
            return [value] * count

        await self.run(
            "gates.insert_gated_jobs", ids, each('{"n":1}'), each(lane or self.keyed), each(tenant),
            each("default"), each(priority), each(due), [], [], [], [], [], [], [], [], HEAD_START,
            None, [], [], each(order), each(key),
        )  # fmt: skip
        return ids

    async def pass_gates(
        self,
        worker: int,
        most: int = 10,
        *,
        lanes: Sequence[int] | None = None,
        suspects: bool = False,
        ended: Sequence[UUID] = (),
    ) -> list[Held]:
        """Take due jobs by the gated claim."""
        rows = await self.run(
            "gates.claim_gated", worker, lanes or [self.lane, self.keyed], most, suspects, [],
            list(ended),
        )  # fmt: skip
        return [Held(row["id"], row["token"], row["run"], worker, row["suspicion"]) for row in rows]

    async def claim(self, worker: int, most: int = 10, *, suspects: bool = False) -> list[Held]:
        """Take due jobs of all tenants by the plain claim."""
        lanes = [self.lane, self.keyed]
        found = await self.run("claims.find_shares", lanes, suspects, -1, 100)
        rows = await self.run(
            "claims.claim_jobs", worker, [row["lane"] for row in found], most, suspects, [],
            [row["share"] for row in found], most,
        )  # fmt: skip
        return [Held(row["id"], row["token"], row["run"], worker, row["suspicion"]) for row in rows]

    async def settle(self, *jobs: UUID) -> None:
        """Let others in where these jobs have left; without jobs, the sweep."""
        await self.run("gates.settle_gates", list(jobs) or None)

    async def limit_queue(self, most: int | None, queue: str = QUEUE) -> int | None:
        """Set a queue's limit."""
        before: int | None = (await self.run("gates.limit_queue", queue, most))[0][0]
        await self.settle()
        return before

    async def limit_tenant(self, tenant: str, most: int | None) -> int | None:
        """Set a tenant's limit."""
        before: int | None = (await self.run("gates.limit_tenant", tenant, most, "op", None))[0][0]
        await self.settle()
        return before

    async def limit_pipeline(self, most: int | None, of_key: int = 1) -> None:
        """Set the limits that the pipeline's definition names."""
        await self.run(
            "submit.register_pipeline",
            *(PIPELINE, VERSION, "hash", "{}", NOT_INLINE, most, of_key, []),
        )
        await self.run("gates.limit_pipeline", PIPELINE, VERSION, most, of_key)
