"""The table of exit codes."""

from __future__ import annotations

import inspect

import pytest

from headrace import errors
from headrace.cli.exits import MEANINGS, ExitCode, exit_code_of
from headrace.errors import HeadraceError

KINDS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, HeadraceError) and kind is not HeadraceError
]


class TestExitCodes:
    def test_each_one_has_a_meaning(self) -> None:
        assert set(MEANINGS) == set(ExitCode)

    @pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
    def test_every_error_of_headrace_has_one_of_its_own_range(
        self, kind: type[HeadraceError]
    ) -> None:
        code = exit_code_of(kind.__new__(kind))
        assert code not in {ExitCode.DONE, ExitCode.USAGE, ExitCode.INTERNAL}

    def test_errors_that_say_the_same_share_one(self) -> None:
        assert exit_code_of(errors.JobNotFoundError("1")) is ExitCode.NOT_FOUND
        assert exit_code_of(errors.DatabaseUnavailableError("away")) is ExitCode.UNAVAILABLE
        assert exit_code_of(errors.SchemaError(0, 1)) is ExitCode.CONFLICT
        assert exit_code_of(errors.IdempotencyKeyReusedError("k")) is ExitCode.KEY_REUSED
