"""Errors that only a remote API has, and a client's errors as they are told."""

import copy
import pickle
from datetime import timedelta

import pytest

from headrace import remote
from headrace.cli.exits import ExitCode, exit_code_of
from headrace.errors import HeadraceError, UnavailableError

KINDS = [
    value
    for value in vars(remote).values()
    if isinstance(value, type) and issubclass(value, HeadraceError)
]


def sample(kind: type[HeadraceError]) -> HeadraceError:
    if issubclass(kind, UnavailableError):
        return kind("it is away", timedelta(seconds=3))
    if kind is remote.ForeignAnswerError:
        return kind("https://x", "answered nothing")
    return kind() if kind is remote.ClientMissingError else kind("the reason")


class TestEveryError:
    @pytest.mark.parametrize("kind", KINDS)
    def test_it_survives_pickling_and_copying_with_its_fields(self, kind: type[HeadraceError]):
        error = sample(kind)
        for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301 - ours
            assert type(other) is kind
            assert vars(other) == vars(error)
            assert str(other) == str(error) != ""

    def test_codes_are_its_own_and_have_an_exit_code_that_says_what_to_do(self):
        codes = {kind.code: exit_code_of(sample(kind)) for kind in KINDS}
        assert len(codes) == len(KINDS)
        assert {code for code, told in codes.items() if told is ExitCode.INTERNAL} == {
            "server_error"
        }
        assert codes["auth_required"] is ExitCode.AUTH_REQUIRED
        assert codes["service_unavailable"] is ExitCode.UNAVAILABLE
