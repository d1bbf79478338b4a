"""The statements of signals keep to the rules, in any order of what may happen."""

import pytest

from tests.reliability.machines import try_any_moves
from tests.waits.signal_machine import SignalMachine


@pytest.mark.timeout(600)
def test_signals_keep_to_their_rules_after_any_moves(database_server: str, template: str):
    try_any_moves(SignalMachine, database_server, template, examples=12)
