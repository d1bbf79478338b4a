"""Exit codes of the command line: one table, and the code of each error."""

from __future__ import annotations

from enum import IntEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.errors import HeadraceError


class ExitCode(IntEnum):
    """What the exit code of a command says; the meanings are in `MEANINGS`."""

    DONE = 0
    CHECK_FAILED = 1
    USAGE = 2
    JOB_FAILED = 3
    JOB_CANCELLED = 4
    UNAVAILABLE = 10
    TIMEOUT = 12
    INVALID = 20
    CONFIGURATION = 21
    NOT_FOUND = 22
    CONFLICT = 23
    KEY_REUSED = 24
    AUTH_REQUIRED = 30
    FORBIDDEN = 31
    RATE_LIMITED = 32
    BUDGET_EXHAUSTED = 33
    TOO_LARGE = 34
    INTERNAL = 40
    CHECKPOINT_CORRUPT = 41
    OUTPUT_TOO_LARGE = 42
    REPLACE = 70
    INTERRUPTED = 130
    NO_READER = 141
    TERMINATED = 143


MEANINGS: Final[Mapping[ExitCode, str]] = MappingProxyType(
    {
        ExitCode.DONE: "Done. `run` and `jobs watch`: the job completed. `documents add`: all that "
        "was meant can be searched.",
        ExitCode.CHECK_FAILED: "`doctor`, `pipelines check`, `migrate status`: a line says what is "
        "wrong. `documents delete`: the question was answered with no.",
        ExitCode.USAGE: "The command was not understood: an unknown option, a missing argument.",
        ExitCode.JOB_FAILED: "`run` and `jobs watch`: the job failed. `documents add`: a document "
        "failed.",
        ExitCode.JOB_CANCELLED: "`run` and `jobs watch`: the job was cancelled. `documents add`: a "
        "document was cancelled or deleted meanwhile, and none failed.",
        ExitCode.UNAVAILABLE: "The database or the API does not answer, or the folder of the "
        "documents takes no files; the same command may work later.",
        ExitCode.TIMEOUT: "`run`, `jobs watch` and `documents add`: the time given by `--timeout` "
        "is over; the jobs go on.",
        ExitCode.INVALID: "An input or an option is not accepted; nothing was stored. `documents "
        "add`: a file was refused that was named, or is a document all the same; the others were "
        "taken.",
        ExitCode.CONFIGURATION: "A setting, the APP or the definition of a pipeline is wrong.",
        ExitCode.NOT_FOUND: "There is no such job, document, pipeline, step, preset, queue, "
        "breaker or operation, or nobody holds the lock.",
        ExitCode.CONFLICT: "The state does not allow it: the job has ended already or not yet, the "
        "schema is of another version. `jobs send`: another value stands, or the time was over.",
        ExitCode.KEY_REUSED: "The idempotency key was used with another input.",
        ExitCode.AUTH_REQUIRED: "`--api`: the token is missing or not accepted.",
        ExitCode.FORBIDDEN: "`--api`: the token's scopes do not allow it.",
        ExitCode.RATE_LIMITED: "`--api`: too many requests; the same command may work later.",
        ExitCode.BUDGET_EXHAUSTED: "`--api`: the budget is used up.",
        ExitCode.TOO_LARGE: "`--api`: the input or the file is larger than the server takes.",
        ExitCode.INTERNAL: "An error that headrace does not know; its traceback is shown.",
        ExitCode.CHECKPOINT_CORRUPT: "A stored output is missing or changed.",
        ExitCode.OUTPUT_TOO_LARGE: "An output is larger than what can be stored.",
        ExitCode.REPLACE: "`worker --no-supervisor`: the process stood still, or steps that ignore "
        "their cancellation fill it; start a new one.",
        ExitCode.INTERRUPTED: "Ctrl-C.",
        ExitCode.NO_READER: "Whoever read the output, as `head`, did not want the rest of it.",
        ExitCode.TERMINATED: "SIGTERM; a worker ends with 0 instead, once its jobs are done or "
        "handed back.",
    }
)
"""Every code and what it means; docs/reference/exit-codes.md is written from it."""


CODES: Final[Mapping[str, ExitCode]] = MappingProxyType(
    {
        "embedder_unusable": ExitCode.CONFIGURATION,
        "api_address_invalid": ExitCode.CONFIGURATION,
        "client_missing": ExitCode.CONFIGURATION,
        "foreign_answer": ExitCode.CONFIGURATION,
        "auth_required": ExitCode.AUTH_REQUIRED,
        "forbidden": ExitCode.FORBIDDEN,
        "rate_limited": ExitCode.RATE_LIMITED,
        "budget_exhausted": ExitCode.BUDGET_EXHAUSTED,
        "payload_too_large": ExitCode.TOO_LARGE,
    }
)
"""By their codes: errors of a shipped pipeline and of `--api`, which are not imported for this."""


def exit_code_of(error: HeadraceError) -> ExitCode:
    """The exit code for an error of headrace."""
    from headrace import errors

    table: tuple[tuple[type[HeadraceError], ExitCode], ...] = (
        (errors.JobFailedError, ExitCode.JOB_FAILED),
        (errors.JobCancelledError, ExitCode.JOB_CANCELLED),
        (errors.CheckpointCorruptError, ExitCode.CHECKPOINT_CORRUPT),
        (errors.OutputTooLargeError, ExitCode.OUTPUT_TOO_LARGE),
        (errors.SettingsError, ExitCode.CONFIGURATION),
        (errors.DefinitionError, ExitCode.CONFIGURATION),
        (errors.IdempotencyKeyReusedError, ExitCode.KEY_REUSED),
        (errors.UnavailableError, ExitCode.UNAVAILABLE),
        (errors.NotFoundError, ExitCode.NOT_FOUND),
        (errors.ConflictError, ExitCode.CONFLICT),
        (errors.InvalidError, ExitCode.INVALID),
    )
    if error.code in CODES:
        return CODES[error.code]
    special = getattr(error, "exit_code", None)
    if isinstance(special, ExitCode):
        return special
    return next((code for kind, code in table if isinstance(error, kind)), ExitCode.INTERNAL)
