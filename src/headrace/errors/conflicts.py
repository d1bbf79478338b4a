"""What the state does not allow, or not any more."""

from __future__ import annotations

from headrace.errors.base import ConflictError


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


class JobFinishedError(ConflictError):
    """The job has ended: what was sent was not stored."""

    code = "job_finished"

    def __init__(self, job_id: object) -> None:
        super().__init__(job_id)
        self.job_id = job_id

    def __str__(self) -> str:
        return f"job {self.job_id} has ended; nothing was stored"


class JobFailedError(ConflictError):
    """The job has no result because it failed.

    Attributes:
        job_id: The job.
        cause: A `FailureCause`, as `attempts_exhausted`.
        message: The text of the error that ended it.
        error_code: The code of that error, as `PERMANENT_ERROR`; empty where it is not known.
    """

    code = "job_failed"

    def __init__(self, job_id: object, cause: str, message: str, error_code: str = "") -> None:
        super().__init__(job_id, cause, message, error_code)
        self.job_id, self.cause, self.message = job_id, cause, message
        self.error_code = error_code

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


class ScheduleFunctionError(ConflictError):
    """The function of a schedule failed, or what it made is no input; nothing was submitted.

    Attributes:
        schedule: As `reports.nightly`.
        problem: What went wrong.
    """

    code = "schedule_function_failed"

    def __init__(self, schedule: str, problem: str) -> None:
        super().__init__(schedule, problem)
        self.schedule, self.problem = schedule, problem

    def __str__(self) -> str:
        return f"the function of schedule {self.schedule} made no input: {self.problem}"
