"""Every public error, and the exceptions with which a step steers its job.

Errors of headrace descend from `HeadraceError` in four families that say what the caller can do:
`InvalidError` (fix the call), `NotFoundError`, `ConflictError` (the state moved on) and
`UnavailableError` (try again later). `code` is stable; texts may improve.

A step raises `PermanentError`, `UserError`, `RetryAfter`, `Skip` or `CancelJob` on purpose. They
descend from `Steering` and from no family, so that `except HeadraceError` in a step never
swallows them.

Fields go to `super().__init__`, so every error survives pickling and copying with its fields.
"""

from __future__ import annotations

from datetime import timedelta
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_RETRY_AFTER: Final = timedelta(hours=1)
"""The longest wait that `RetryAfter` asks for; more is cut to this."""


class HeadraceError(Exception):
    """The root of all errors of headrace; `code` names the error for machines."""

    code: str = "headrace_error"


class InvalidError(HeadraceError):
    """The call or the definition is wrong; the same call will fail again."""

    code = "invalid"


class NotFoundError(HeadraceError):
    """The thing that was named does not exist, or not for this caller."""

    code = "not_found"


class ConflictError(HeadraceError):
    """The call was fine, but the state does not allow it (any more)."""

    code = "conflict"


class UnavailableError(HeadraceError):
    """Something that is needed does not answer now; try again after `retry_after`."""

    code = "unavailable"

    def __init__(self, reason: str, retry_after: timedelta = timedelta(seconds=1)) -> None:
        super().__init__(reason, retry_after)
        self.reason, self.retry_after = reason, retry_after

    def __str__(self) -> str:
        return self.reason


# --- InvalidError ---------------------------------------------------------------------------------


class Problem(NamedTuple):
    """One thing that is wrong in a value: where (`$.items[2].price`), and what."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class DefinitionError(InvalidError):
    """A pipeline or a step is defined wrongly; raised where it is defined.

    Attributes:
        where: What is wrong and where it is, as `consensus.decide() at app/pipes.py:31`.
        problem: What is wrong and what would be accepted.
        code: One of the codes of the reference, as `TYPE_MISMATCH`.
    """

    def __init__(self, where: str, problem: str, code: str) -> None:
        super().__init__(where, problem, code)
        self.where, self.problem, self.code = where, problem, code

    def __str__(self) -> str:
        return f"{self.where}: {self.problem} [{self.code}]"


class MarkerUsedError(InvalidError, TypeError):
    """A marker (`Each(...)`, `Use(...)`) was used as if it were the value that it stands for."""

    code = "marker_used"

    def __init__(self, marker: str) -> None:
        super().__init__(marker)
        self.marker = marker

    def __str__(self) -> str:
        return (
            f"{self.marker} is filled by the engine, and only in a job: "
            "a direct call of a step must pass every argument"
        )


class CodecError(InvalidError):
    """A stored or received JSON text is not a value of the type.

    Attributes:
        type_name: The type, as it is written in code.
        problems: Every place that does not fit; never empty.
    """

    code = "undecodable"

    def __init__(self, type_name: str, problems: Sequence[Problem]) -> None:
        super().__init__(type_name, problems)
        self.type_name, self.problems = type_name, tuple(problems)

    def __str__(self) -> str:
        return f"not a {self.type_name}: {'; '.join(map(str, self.problems))}"


class InputError(InvalidError):
    """The input of a job does not fit its pipeline; nothing was stored.

    Attributes:
        pipeline: Name of the pipeline.
        problems: Every place that does not fit; never empty.
    """

    code = "input_invalid"

    def __init__(self, pipeline: str, problems: Sequence[Problem]) -> None:
        super().__init__(pipeline, problems)
        self.pipeline, self.problems = pipeline, tuple(problems)

    def __str__(self) -> str:
        return f"input of {self.pipeline}: {'; '.join(map(str, self.problems))}"


class OptionError(InvalidError):
    """An option of a call is not accepted; nothing was stored.

    Attributes:
        option: Its name, as `due`.
        problem: What is wrong, and what would be accepted.
    """

    code = "option_invalid"

    def __init__(self, option: str, problem: str) -> None:
        super().__init__(option, problem)
        self.option, self.problem = option, problem

    def __str__(self) -> str:
        return f"{self.option}: {self.problem}"


class OutputError(InvalidError):
    """A value cannot be stored, or would not come back equal; it was not stored.

    Attributes:
        type_name: The type by which it would be stored, as it is written in code.
        path: The place in the value, as `$.reviews[2].score`; `$` is the value itself.
        reason: What is wrong there.
    """

    code = "output_not_storable"

    def __init__(self, type_name: str, path: str, reason: str) -> None:
        super().__init__(type_name, path, reason)
        self.type_name, self.path, self.reason = type_name, path, reason

    def __str__(self) -> str:
        return f"cannot be stored as {self.type_name}: {self.path}: {self.reason}"


class MessageRefusedError(InvalidError):
    """A message that the broker will never take; nothing of it was published.

    Attributes:
        topic: Where it was to go.
        problem: What is wrong with it.
    """

    code = "message_refused"

    def __init__(self, topic: str, problem: str) -> None:
        super().__init__(topic, problem)
        self.topic, self.problem = topic, problem

    def __str__(self) -> str:
        return f"the topic {self.topic} does not take this message: {self.problem}"


class OutputTooLargeError(InvalidError):
    """An output is larger than what can be stored; nothing was cut, nothing was stored.

    Attributes:
        size: Bytes of the encoded output.
        limit: The most bytes that are accepted.
    """

    code = "output_too_large"

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(size, limit)
        self.size, self.limit = size, limit

    def __str__(self) -> str:
        return f"the output takes {self.size:,} bytes; at most {self.limit:,} can be stored"


class CheckpointCorruptError(InvalidError):
    """A stored output is missing or is not what was stored; no step can go on with it.

    Attributes:
        path: Where the artifact should be.
        reason: What was found.
    """

    code = "CHECKPOINT_CORRUPT"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"the artifact {self.path} cannot be used: {self.reason}"


class ItemsError(InvalidError):
    """The items of a fan-out cannot be used: too many, or two of one key."""

    code = "items_invalid"

    def __init__(self, parameter: str, reason: str) -> None:
        super().__init__(parameter, reason)
        self.parameter, self.reason = parameter, reason

    def __str__(self) -> str:
        return f"items of {self.parameter}: {self.reason}"


class SettingsError(InvalidError):
    """Settings are missing, unknown or out of range; each problem names its setting."""

    code = "settings_invalid"

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(problems)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "; ".join(map(str, self.problems))


# --- NotFoundError --------------------------------------------------------------------------------


class JobNotFoundError(NotFoundError):
    """No job has this id, or it belongs to somebody else."""

    code = "job_not_found"

    def __init__(self, job_id: object) -> None:
        super().__init__(job_id)
        self.job_id = job_id

    def __str__(self) -> str:
        return f"no job {self.job_id}"


class UnknownNameError(NotFoundError):
    """Nothing of this kind has this name; `known` are the names that exist."""

    kind, shown_by = "thing", ""

    def __init__(self, name: str, known: Sequence[str] = ()) -> None:
        super().__init__(name, known)
        self.name, self.known = name, tuple(known)

    def __str__(self) -> str:
        close = get_close_matches(self.name, self.known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else self.shown_by
        return f"no {self.kind} {self.name!r}{hint}"


class PipelineNotFoundError(UnknownNameError):
    """No pipeline of this app has this name."""

    code = "pipeline_not_found"
    kind = "pipeline"


class PresetNotFoundError(UnknownNameError):
    """The pipeline has no preset of this name."""

    code = "preset_not_found"
    kind = "preset"


class StepNotFoundError(UnknownNameError):
    """The pipeline has no step of this name."""

    code = "step_not_found"
    kind = "step"


class QueueNotFoundError(UnknownNameError):
    """No job was ever submitted to a queue of this name."""

    code = "queue_not_found"
    kind = "queue"


class LockNotFoundError(NotFoundError):
    """Nobody holds the lock; `key` is its name."""

    code = "lock_not_found"

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key

    def __str__(self) -> str:
        return (
            f"nobody holds the lock {self.key!r}; `headrace locks list` shows those that are held"
        )


class BreakerNotFoundError(UnknownNameError):
    """No call has gone through a circuit breaker of this name yet."""

    code = "breaker_not_found"
    kind = "breaker"
    shown_by = "; `headrace breakers list` shows those that calls have used"


# --- ConflictError --------------------------------------------------------------------------------


class SchemaError(ConflictError):
    """The database schema and this version of headrace do not fit.

    Attributes:
        found: Newest migration in the database; 0 for an empty one.
        needed: Newest migration that this version knows.
        pipeline: Whose tables do not fit; None for the engine's.
    """

    code = "schema_mismatch"

    def __init__(self, found: int, needed: int, pipeline: str | None = None) -> None:
        super().__init__(found, needed, pipeline)
        self.found, self.needed, self.pipeline = found, needed, pipeline

    def __str__(self) -> str:
        whose = "" if self.pipeline is None else f" of pipeline {self.pipeline}"
        if self.found < self.needed:
            how = "" if self.pipeline is None else " with an --app that carries it"
            return (
                f"the database schema{whose} is at {self.found}, this version needs {self.needed}: "
                f"run `headrace migrate`{how}"
            )
        return (
            f"the database schema{whose} is at {self.found}, this version knows {self.needed}: "
            f"install the version of {self.pipeline or 'headrace'} that made it"
        )


class LeaseLostError(ConflictError):
    """A write carried a token that is no longer the newest; it changed nothing.

    Attributes:
        resource: What the token was for.
        held: The token of the write.
        current: The newest token, where it is known.
    """

    code = "lease_lost"

    def __init__(self, resource: str, held: int, current: int | None = None) -> None:
        super().__init__(resource, held, current)
        self.resource, self.held, self.current = resource, held, current

    def __str__(self) -> str:
        newer = "" if self.current is None else f" to {self.current}"
        return f"{self.resource}: token {self.held} lost{newer}"


class LockLostError(ConflictError):
    """A lock was lost while it was held: what it guards may be another's by now."""

    code = "lock_lost"

    def __init__(self, key: str, token: int) -> None:
        super().__init__(key, token)
        self.key, self.token = key, token

    def __str__(self) -> str:
        return f"the lock {self.key!r} (token {self.token}) was lost while it was held"


class NotCompletedError(ConflictError):
    """The job has no result (yet); `state` is its state."""

    code = "not_completed"

    def __init__(self, job_id: object, state: str) -> None:
        super().__init__(job_id, state)
        self.job_id, self.state = job_id, state

    def __str__(self) -> str:
        return f"job {self.job_id} has no result: it is {self.state}"


class JobFailedError(ConflictError):
    """The job has no result because it failed.

    Attributes:
        job_id: The job.
        cause: A `FailureCause`, as `attempts_exhausted`.
        message: The text of the error that ended it.
    """

    code = "job_failed"

    def __init__(self, job_id: object, cause: str, message: str) -> None:
        super().__init__(job_id, cause, message)
        self.job_id, self.cause, self.message = job_id, cause, message

    def __str__(self) -> str:
        return f"job {self.job_id} failed ({self.cause}): {self.message}"


class JobCancelledError(ConflictError):
    """The job has no result because it was cancelled."""

    code = "job_cancelled"

    def __init__(self, job_id: object) -> None:
        super().__init__(job_id)
        self.job_id = job_id

    def __str__(self) -> str:
        return f"job {self.job_id} was cancelled"


class IdempotencyKeyReusedError(ConflictError):
    """The key was used before, with another pipeline or another input; nothing was stored.

    Attributes:
        operation: What the key belongs to, where that is the name of another function.
    """

    code = "idempotency_key_reused"

    def __init__(self, key: str, operation: str | None = None) -> None:
        super().__init__(key, operation)
        self.key, self.operation = key, operation

    def __str__(self) -> str:
        if self.operation is not None:
            return f"idempotency key {self.key!r} belongs to the operation {self.operation!r}"
        return f"idempotency key {self.key!r} was used with another input"


class TransitionError(ConflictError):
    """A job in this state cannot take this event."""

    code = "transition_refused"

    def __init__(self, state: str, event: str) -> None:
        super().__init__(state, event)
        self.state, self.event = state, event

    def __str__(self) -> str:
        return f"a job that is {self.state} cannot be {self.event}"


# --- UnavailableError -----------------------------------------------------------------------------


class DatabaseUnavailableError(UnavailableError):
    """PostgreSQL does not answer; a write that was under way may have been made."""

    code = "database_unavailable"


class BrokerUnavailableError(UnavailableError):
    """The message broker does not take or give messages now; no job depends on that."""

    code = "broker_unavailable"


class TransactionTimeoutError(UnavailableError):
    """A step's transaction was open for too long; it was rolled back.

    It is open from its first statement: call out first, then write.
    """

    code = "transaction_timeout"

    def __init__(self, limit: timedelta) -> None:
        super().__init__(
            f"the transaction was open for longer than {limit.total_seconds():g} s since its first "
            "statement, and was rolled back: call out first, then write"
        )
        self.args = (limit,)
        self.limit = limit


class LockBusyError(UnavailableError):
    """Somebody else holds the lock. A step that lets it out is started again without an attempt.

    Args:
        key: The lock's.
        holder: Who holds it.
        retry_after: Time until the holder's lease ends, unless it renews it.
    """

    code = "lock_busy"

    def __init__(self, key: str, holder: str, retry_after: timedelta) -> None:
        super().__init__(key, retry_after)
        self.args = (key, holder, retry_after)
        self.key, self.holder = key, holder

    def __str__(self) -> str:
        return (
            f"the lock {self.key!r} is held by {self.holder}, "
            f"for another {self.retry_after.total_seconds():.3g} s unless renewed"
        )


class OperationInProgressError(UnavailableError):
    """Another job carries the operation out now; a step that lets it out is started again."""

    code = "operation_in_progress"

    def __init__(self, key: str, holder: str, retry_after: timedelta) -> None:
        super().__init__(key, retry_after)
        self.args = (key, holder, retry_after)
        self.key, self.holder = key, holder

    def __str__(self) -> str:
        return f"the operation {self.key!r} is being carried out by {self.holder}"


class BreakerOpenError(UnavailableError):
    """A circuit breaker lets no call through; a step that lets it out waits without an attempt.

    Args:
        name: The breaker's.
        retry_after: Time until a call may be tried.
    """

    code = "breaker_open"

    def __init__(self, name: str, retry_after: timedelta) -> None:
        super().__init__(name, retry_after)
        self.args = (name, retry_after)
        self.name = name

    def __str__(self) -> str:
        wait_s = self.retry_after.total_seconds()
        return f"the breaker {self.name!r} is open: the next call may be tried in {wait_s:.3g} s"


class RateLimitedError(UnavailableError):
    """A rate limit has no room now; a step that lets it out waits without an attempt.

    Args:
        name: The limit's.
        retry_after: Time until there is room.
    """

    code = "rate_limited"

    def __init__(self, name: str, retry_after: timedelta) -> None:
        super().__init__(name, retry_after)
        self.args = (name, retry_after)
        self.name = name

    def __str__(self) -> str:
        wait_s = self.retry_after.total_seconds()
        return f"the rate limit {self.name!r} has room again in {wait_s:.3g} s"


class BudgetExhaustedError(UnavailableError):
    """A budget is spent.

    Args:
        name: The budget's.
        spent: What was spent of it, with its unit.
        limit: What may be, with its unit.
        renews_after: Time until its next window: a step that lets the error out waits for that,
            without an attempt. None where there is none, or where the budget is to fail jobs: the
            job fails with the cause `budget_exhausted`.
    """

    code = "budget_exhausted"

    def __init__(self, name: str, spent: str, limit: str, renews_after: timedelta | None) -> None:
        super().__init__(name, renews_after or timedelta(0))
        self.args = (name, spent, limit, renews_after)
        self.name, self.spent, self.limit, self.renews_after = name, spent, limit, renews_after

    def __str__(self) -> str:
        return f"the budget {self.name!r} is spent: {self.spent} of {self.limit}"


# --- Steering -------------------------------------------------------------------------------------


class Steering(Exception):  # noqa: N818 - not an error: a step says how its job goes on
    """The root of what a step raises on purpose."""


class PermanentError(Steering):
    """Raise it when another try cannot help: the step, and with it the job, fails at once."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class UserError(PermanentError):
    """A `PermanentError` whose message is safe to show to the person who sent the input."""


class RetryAfter(Steering):
    """Raise it to be started again after `delay`, without using up an attempt.

    Args:
        delay: Seconds or a timedelta, 0 or more; more than an hour is cut to an hour.
        reason: Shown while the job waits.

    Raises:
        ValueError: `delay` is negative or not a number.
    """

    def __init__(self, delay: float | timedelta, reason: str = "") -> None:
        super().__init__(delay, reason)
        seconds = delay.total_seconds() if isinstance(delay, timedelta) else delay
        if not seconds >= 0:  # not `< 0`: NaN is refused too
            raise ValueError(f"RetryAfter takes a delay of 0 s or more, not {delay!r}")
        self.delay = timedelta(seconds=min(seconds, MAX_RETRY_AFTER.total_seconds()))
        self.reason = reason

    def __str__(self) -> str:
        suffix = f": {self.reason}" if self.reason else ""
        return f"again after {self.delay.total_seconds():g} s{suffix}"


class Skip(Steering):
    """Raise it when the step is not needed: it is shown as skipped, and later steps get None.

    The step's return annotation must accept None, else the step fails permanently and says so.
    """

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class CancelJob(Steering):
    """Raise it to cancel the job from within; outputs that are stored are kept."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
