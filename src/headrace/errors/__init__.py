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

from headrace.errors.base import (
    ConflictError,
    HeadraceError,
    InvalidError,
    NotFoundError,
    UnavailableError,
)
from headrace.errors.conflicts import (
    IdempotencyKeyReusedError,
    JobCancelledError,
    JobFailedError,
    JobFinishedError,
    LeaseLostError,
    LockLostError,
    NotCompletedError,
    ScheduleFunctionError,
    SchemaError,
    TransitionError,
)
from headrace.errors.invalid import (
    CheckpointCorruptError,
    CodecError,
    DefinitionError,
    InputError,
    ItemsError,
    MarkerUsedError,
    MessageRefusedError,
    OptionError,
    OutputError,
    OutputTooLargeError,
    Problem,
    SettingsError,
)
from headrace.errors.missing import (
    BreakerNotFoundError,
    JobNotFoundError,
    LockNotFoundError,
    PipelineNotFoundError,
    PresetNotFoundError,
    QueueNotFoundError,
    ScheduleNotFoundError,
    SignalNotFoundError,
    StepNotFoundError,
    UnknownNameError,
)
from headrace.errors.steering import (
    MAX_RETRY_AFTER,
    CancelJob,
    PermanentError,
    RetryAfter,
    Skip,
    Steering,
    UserError,
)
from headrace.errors.unavailable import (
    BreakerOpenError,
    BrokerUnavailableError,
    BudgetExhaustedError,
    DatabaseUnavailableError,
    LockBusyError,
    OperationInProgressError,
    RateLimitedError,
    TransactionTimeoutError,
)
from headrace.errors.undoing import (
    UndoError,
    UndoFailedError,
    UndoJobError,
    UndoUnderWayError,
)

__all__ = [
    "MAX_RETRY_AFTER",
    "BreakerNotFoundError",
    "BreakerOpenError",
    "BrokerUnavailableError",
    "BudgetExhaustedError",
    "CancelJob",
    "CheckpointCorruptError",
    "CodecError",
    "ConflictError",
    "DatabaseUnavailableError",
    "DefinitionError",
    "HeadraceError",
    "IdempotencyKeyReusedError",
    "InputError",
    "InvalidError",
    "ItemsError",
    "JobCancelledError",
    "JobFailedError",
    "JobFinishedError",
    "JobNotFoundError",
    "LeaseLostError",
    "LockBusyError",
    "LockLostError",
    "LockNotFoundError",
    "MarkerUsedError",
    "MessageRefusedError",
    "NotCompletedError",
    "NotFoundError",
    "OperationInProgressError",
    "OptionError",
    "OutputError",
    "OutputTooLargeError",
    "PermanentError",
    "PipelineNotFoundError",
    "PresetNotFoundError",
    "Problem",
    "QueueNotFoundError",
    "RateLimitedError",
    "RetryAfter",
    "ScheduleFunctionError",
    "ScheduleNotFoundError",
    "SchemaError",
    "SettingsError",
    "SignalNotFoundError",
    "Skip",
    "Steering",
    "StepNotFoundError",
    "TransactionTimeoutError",
    "TransitionError",
    "UnavailableError",
    "UndoError",
    "UndoFailedError",
    "UndoJobError",
    "UndoUnderWayError",
    "UnknownNameError",
    "UserError",
]
