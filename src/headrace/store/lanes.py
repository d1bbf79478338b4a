"""The numbers that stand for a queue, a pipeline and a version, and the registry of definitions."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson

from headrace.store.gates import limit_pipeline
from headrace.store.sql import SQL

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headrace.model.awaited import AwaitedSignal
    from headrace.model.pipeline import Pipeline
    from headrace.model.step import Step
    from headrace.store.connections import Connections
    from headrace.store.pool import Connection


class Lanes:
    """Looks up each pipeline's lane once, and registers its definition with it."""

    def __init__(self, connections: Connections) -> None:
        """Nothing is asked before the first look-up."""
        self._connections = connections
        self._known: dict[tuple[str, str, str, bool], int] = {}
        self._turn = asyncio.Lock()

    async def lane_of(self, pipeline: Pipeline[Any, Any], *, keyed: bool = False) -> int:
        """The lane of a pipeline's version in its queue, or its twin for jobs with keys.

        The first call stores it, on a connection of its own, so that it stays when the transaction
        that the job is stored in is rolled back.

        Raises:
            DatabaseUnavailableError: No server answered.
        """
        key = (pipeline.queue, pipeline.name, pipeline.version, keyed)
        lane = self._known.get(key)
        if lane is not None:
            return lane
        async with self._turn:
            if key not in self._known:
                async with self._connections.use() as connection:
                    self._known[key] = await register(connection, pipeline, keyed=keyed)
        return self._known[key]


async def register(
    connection: Connection, pipeline: Pipeline[Any, Any], *, keyed: bool = False
) -> int:
    """Store a pipeline's definition, its limits and its lane, if they are new.

    Returns:
        The number of the lane.
    """
    await connection.execute(
        SQL["submit.register_pipeline"],
        pipeline.name,
        pipeline.version,
        pipeline.definition_hash,
        describe(pipeline),
        pipeline.inline_output,
        pipeline.concurrency,
        pipeline.key_concurrency,
        _undone_names(pipeline),
    )
    await limit_pipeline(
        connection,
        pipeline.name,
        pipeline.version,
        pipeline.concurrency,
        pipeline.key_concurrency,
    )
    statement = SQL["gates.add_keyed_lane" if keyed else "submit.add_lane"]
    lane: int | None = None
    while lane is None:
        # None when another process made it in the same moment: the next look sees it.
        lane = await connection.fetchval(statement, pipeline.queue, pipeline.name, pipeline.version)
    return lane


async def carried_lanes(
    connection: Connection, pipelines: Iterable[Pipeline[Any, Any]], queues: Iterable[str]
) -> list[tuple[int, str, str, str]]:
    """Every lane of these pipelines in these queues, as (number, queue, pipeline, version)."""
    rows = await connection.fetch(
        SQL["claims.carried_lanes"], [pipeline.name for pipeline in pipelines], list(queues)
    )
    return [tuple(row) for row in rows]


def describe(pipeline: Pipeline[Any, Any]) -> str:
    """A pipeline's definition as JSON, for those who do not have its code."""
    return orjson.dumps(
        {
            "queue": pipeline.queue,
            "input": pipeline.input.schema(),
            "output": pipeline.output.schema(),
            "result_step": pipeline.result_step,
            "timeout_s": pipeline.timeout and pipeline.timeout.total_seconds(),
            "concurrency": pipeline.concurrency,
            "key_concurrency": pipeline.key_concurrency,
            "ordered_by": pipeline.ordered_by,
            "presets": {name: dict(values) for name, values in pipeline.presets.items()},
            "steps": [_describe_step(step) for step in pipeline.steps.values()],
            "signals": [_describe_signal(signal) for signal in pipeline.signals.values()],
        }
    ).decode()


def _undone_names(pipeline: Pipeline[Any, Any]) -> list[str]:
    """Under which names outputs are stored that can be undone."""
    undone = [step for step in pipeline.steps.values() if step.undo is not None]
    return [name for step in undone for name in (step.name, *step.was)]


def _describe_signal(signal: AwaitedSignal) -> dict[str, object]:
    return {
        "name": signal.name,
        "schema": signal.codec.schema(),
        "timeout_s": signal.timeout.total_seconds(),
        "may_lack": signal.may_lack,
    }


def _describe_step(step: Step) -> dict[str, object]:
    return {
        "name": step.name,
        "was": step.was,
        "needs": step.needs,
        "each": step.each is not None,
        "at_least": step.each and step.each.at_least,
        "may_skip": step.may_skip,
        "signals": [signal.name for signal in step.signals],
        "delay_s": step.delay and step.delay.total_seconds(),
        "has_child": step.has_child,
        "undo": step.undo is not None,
        "runs_in": step.runs_in,
        "parallel": step.parallel,
        "attempts": step.retry.attempts,
        "timeout_s": step.timeout and step.timeout.total_seconds(),
        "output": step.output.schema(),
    }
