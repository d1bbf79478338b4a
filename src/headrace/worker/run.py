"""A job in a worker's hands: which of its steps may run, decided without any I/O."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from headrace.store.entries import Entry
from headrace.worker.blueprint import blueprint_of, names_of, undo_graph_of
from headrace.worker.claim import SUSPECT, WATCHED
from headrace.worker.failure import too_few
from headrace.worker.holding import Holds
from headrace.worker.stored import Fan, as_output, read_plan

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator, Sequence
    from collections.abc import Set as AbstractSet
    from typing import TypeAlias

    from headrace.model.pipeline import Pipeline
    from headrace.model.step import Step
    from headrace.store.entries import StepRow, Writer
    from headrace.worker.attempt import Attempt
    from headrace.worker.blueprint import Blueprint, Graph
    from headrace.worker.claim import Claim
    from headrace.worker.failure import Failure
    from headrace.worker.stored import Output
    from headrace.worker.undoing import Undoing

    Key: TypeAlias = tuple[str, str]
    """A step and an item; the item is empty for a step that runs once."""
    RecordKey: TypeAlias = tuple[str, str, str]
    """A step, an item, and the name that `once` was called with."""

EMPTY: Final[Any] = MappingProxyType({})
"""Stands for a dict that nobody has needed yet; it refuses to be written."""


@dataclass(slots=True)
class Tally:
    """What went wrong with a step or item so far in this run."""

    attempts: int = 0
    failures: int = 0
    timeouts: int = 0
    busy: int = 0


@dataclass(slots=True)
class Stop:
    """Why nothing of the job is started any more: it goes back to its queue after `wait_s`."""

    reason: str
    wait_s: float = 0.0
    error: str | None = None


@dataclass(slots=True, eq=False)
class JobRun:
    """The state of one claimed job.

    `outputs` and `fans` hold only what is committed, so a step starts after the commit of what
    it needs. `left` counts the steps without an outcome, committed or not: at zero the
    job is complete.
    """

    claim: Claim
    writer: Writer
    started_at: float
    pipeline: Pipeline[Any, Any] = field(init=False)
    graph: Graph = field(init=False)
    blueprint: Blueprint = field(init=False)
    outputs: dict[str, Output] = field(init=False)
    running: dict[Key, Attempt] = field(init=False)
    ready: deque[Step] = field(init=False)
    arming: Sequence[Step] = field(init=False)
    left: int = field(init=False)
    cancelled: bool = field(init=False)
    suspicion: int = field(init=False)
    limit_at: float | None = field(init=False)
    # What a smooth job has none of is made when it is needed: EMPTY stands for it until then.
    fans: dict[str, Fan] = field(init=False)
    records: dict[RecordKey, Output] = field(init=False)
    keeping: dict[RecordKey, asyncio.Future[None]] = field(init=False)
    tallies: dict[Key, Tally] = field(init=False)
    waits: dict[Key, float] = field(init=False)
    recorded: AbstractSet[Key] = frozenset()
    suspicious: AbstractSet[Key] = frozenset()
    unmet: dict[str, int] | None = None
    draft: Entry | None = None
    in_flight: Entry | None = None
    failure: Failure | None = None
    stop: Stop | None = None
    cancel_note: str | None = None
    dead: bool = False
    began_alone: bool = False
    holds: Holds | None = None
    undoing: Undoing | None = None
    priority: int | None = None  # once it is asked for

    def __post_init__(self) -> None:
        """Begin with nothing stored."""
        claim = self.claim
        pipeline = self.pipeline = self.graph = claim.pipeline
        blueprint = self.blueprint = blueprint_of(pipeline)
        self.outputs = {}
        self.running = {}
        self.ready = deque(blueprint.first)
        self.arming = blueprint.held
        self.left = blueprint.count
        self.cancelled = claim.cancel_requested
        self.suspicion = claim.suspicion
        self.limit_at = self.started_at + claim.limit_s
        self.fans = self.records = self.keeping = self.tallies = self.waits = EMPTY

    # --- what is stored ---------------------------------------------------------------------------

    def begin_undo(self, undoing: Undoing) -> None:
        """What was restored is what a run had done that is to be undone: its steps are others."""
        graph = self.graph = undo_graph_of(self.pipeline, frozenset(undoing.done))
        blueprint = self.blueprint = blueprint_of(graph)
        self.undoing, self.failure, self.unmet = undoing, None, None
        self.ready, self.left = deque(blueprint.first), blueprint.count
        self.arming, self.holds = (), None

    def plan(self, name: str, items: list[tuple[str, str]]) -> Fan:
        """The items of a fan-out are stored: they may start."""
        fan = Fan(dict(items), OrderedDict.fromkeys(key for key, _ in items), {}, left=len(items))
        if self.fans is EMPTY:
            self.fans = {}
        self.fans[name] = fan
        return fan

    def store(self, row: StepRow) -> None:
        """A checkpoint is committed: what waits for it may start."""
        output = as_output(row.output, row.artifact)
        if row.state == "planned":
            fan = self.plan(row.step, read_plan(row.output or "[]"))
            if not fan.left:
                self.left -= 1
                self.complete(row.step, None)
            else:
                self.ready.append(self.graph.steps[row.step])
        elif row.item:
            fan = self.fans[row.step]
            if row.state == "failed":
                fan.errors[row.item] = row.output or "{}"
            else:
                fan.outputs[row.item] = output
            if len(fan.outputs) + len(fan.errors) == len(fan.values):
                self.complete(row.step, None)
        else:
            self.complete(row.step, output)

    def complete(self, name: str, output: Output | None) -> None:
        """A step has ended: what waits for it, and for nothing else, may start."""
        if output is not None:
            self.outputs[name] = output
        followers = self.graph.dependents[name]
        if not followers:
            return
        steps, unmet = self.graph.steps, self.unmet
        if unmet is None:
            unmet = self.unmet = self.blueprint.unmet.copy()
        for follower in followers:
            unmet[follower] -= 1
            if unmet[follower] or follower in self.outputs:  # which an operator gave
                continue
            step = steps[follower]
            if step.is_held:
                self.arming = (*self.arming, step)
            else:
                self.ready.append(step)

    def is_complete(self, name: str) -> bool:
        """Whether all of a step has an outcome."""
        fan = self.fans.get(name)
        return name in self.outputs or (fan is not None and not fan.left)

    def is_stored(self, step: str, item: str) -> bool:
        """Whether the output of a step or item is committed."""
        if not item:
            return self.is_complete(step) or step in self.fans
        fan = self.fans.get(step)
        return fan is not None and fan.has(item)

    def outcome_known(self, step: Step, item: str) -> None:
        """A step or item has an output that is on its way to the database."""
        if not item:
            self.left -= 1
            return
        fan = self.fans[step.name]
        fan.left -= 1
        if not fan.left:
            self.left -= 1

    def fail_item(self, step: Step, item: str, failure: Failure) -> None:
        """An item has failed for good, which is on its way to the database."""
        fan = self.fans[step.name]
        fan.failed += 1
        self.outcome_known(step, item)
        self.failure = self.failure or too_few(step, fan, failure)

    # --- what it waits for ------------------------------------------------------------------------

    def holding(self) -> Holds:
        """What its steps wait for besides their inputs."""
        if self.holds is None:
            self.holds = Holds()
        return self.holds

    def await_child(self, key: Key, child: str) -> None:
        """A step or item that was to start has a child job already, which is on record."""
        step, item = self.graph.steps[key[0]], key[1]
        fan = self.fans.get(step.name)
        if not step.has_child or (item and (fan is None or item not in fan.waiting)):
            return
        if item and fan is not None:
            del fan.waiting[item]
        elif step in self.ready:
            self.ready.remove(step)
        elif step in self.arming:
            self.arming = [other for other in self.arming if other is not step]
        else:
            return  # as this code has it, its inputs are not there: it will find its child again
        if self.waits:
            self.waits.pop(key, None)  # of a try after that: it is not started again
        self.holding().children[key] = child

    def present_name(self, step: str) -> str:
        """What is stored under an earlier name of a step is the step's."""
        return names_of(self.graph).get(step, step)

    @property
    def is_holding(self) -> bool:
        """Whether a step may wait for more than its inputs."""
        return bool(self.arming) or self.holds is not None

    # --- what may run -----------------------------------------------------------------------------

    @property
    def is_halted(self) -> bool:
        """Whether nothing more is started."""
        return self.dead or self.cancelled or self.failure is not None or self.stop is not None

    @property
    def alone(self) -> bool:
        """Whether its steps and items run one at a time."""
        return self.suspicion == SUSPECT

    @property
    def watched(self) -> bool:
        """Whether starts are committed before they happen."""
        return self.suspicion >= WATCHED

    def take(self, now: float) -> Sequence[tuple[Step, str]]:
        """The steps and items that start now; a fan-out without items comes with an empty item."""
        ready = self.ready
        if len(ready) == 1 and self.fans is EMPTY and self.waits is EMPTY and not self.alone:
            return ((ready.popleft(), ""),)  # as nearly always
        return tuple(self._take(now))

    def _take(self, now: float) -> Iterator[tuple[Step, str]]:
        if self.alone:
            yield from self._take_alone(now)
            return
        for _ in range(len(self.ready)):
            step = self.ready.popleft()
            fan = self.fans.get(step.name)
            if fan is None:
                if self._waits((step.name, ""), now):
                    self.ready.append(step)
                else:
                    yield step, ""
                continue
            yield from self._take_items(step, fan, now)
            if fan.waiting:
                self.ready.append(step)

    def _take_items(self, step: Step, fan: Fan, now: float) -> Iterator[tuple[Step, str]]:
        for _ in range(len(fan.waiting)):
            if fan.running >= step.parallel:
                return
            key, _ = fan.waiting.popitem(last=False)
            if self._waits((step.name, key), now):
                fan.waiting[key] = None
            else:
                fan.running += 1
                yield step, key

    def _take_alone(self, now: float) -> Iterator[tuple[Step, str]]:
        if self.running:
            return
        candidates = [
            (step, item)
            for step in self.ready
            for item in (self.fans[step.name].waiting if step.name in self.fans else ("",))
            if not self._waits((step.name, item), now)
        ]
        if not candidates:
            return
        step, item = min(candidates, key=lambda due: (due[0].name, due[1]) not in self.suspicious)
        fan = self.fans.get(step.name)
        if fan is None:
            self.ready.remove(step)
        else:
            del fan.waiting[item]
            fan.running += 1
            if not fan.waiting:
                self.ready.remove(step)
        yield step, item

    def _waits(self, key: Key, now: float) -> bool:
        due = self.waits.get(key)
        if due is None:
            return False
        if due <= now:
            del self.waits[key]
            return False
        return True

    def wait(self, key: Key, until: float) -> None:
        """A step or item is not started before `until`, in monotonic time."""
        if self.waits is EMPTY:
            self.waits = {}
        self.waits[key] = until

    def tally(self, key: Key) -> Tally:
        """What went wrong with a step or item so far."""
        tally = self.tallies.get(key)
        if tally is None:
            if self.tallies is EMPTY:
                self.tallies = {}
            tally = self.tallies[key] = Tally()
        return tally

    def await_record(self, key: RecordKey, future: asyncio.Future[None]) -> None:
        """A `once` record is on its way to the database; the future tells of its fate."""
        if self.keeping is EMPTY:
            self.keeping = {}
        self.keeping[key] = future

    def keep_record(self, key: RecordKey, output: Output) -> None:
        """A `once` record is stored."""
        if self.records is EMPTY:
            self.records = {}
        self.records[key] = output

    def put_back(self, step: Step, item: str) -> None:
        """A step or item that was taken will have to start again."""
        if not item:
            self.ready.append(step)
            return
        fan = self.fans[step.name]
        fan.waiting[item] = None
        if step not in self.ready:
            self.ready.append(step)

    def leave(self, step: Step, item: str) -> None:
        """An attempt has ended."""
        del self.running[step.name, item]
        if item:
            self.fans[step.name].running -= 1

    # --- what is written --------------------------------------------------------------------------

    def entry(self) -> Entry:
        """The entry that gathers what this job has to store next."""
        draft = self.draft
        if draft is None:
            claim = self.claim
            draft = self.draft = Entry(claim.job, claim.token, claim.run, self.writer, note=self)
        return draft

    def forget_suspicion(self, key: Key) -> bool:
        """A step that was on record has ended; tells whether the job is no suspect any more."""
        if self.suspicion != SUSPECT or key not in self.suspicious:
            return False
        self.suspicious -= {key}
        if self.suspicious:
            return False
        self.suspicion = WATCHED
        return True
