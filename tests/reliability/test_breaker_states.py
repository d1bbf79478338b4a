"""The statements of breakers keep to the rules, in any order of what may happen."""

import pytest

from tests.reliability.breaker_machine import BreakerMachine
from tests.reliability.machines import try_any_moves


@pytest.mark.timeout(600)
def test_a_breaker_keeps_to_its_rules_after_any_moves(database_server: str, template: str):
    try_any_moves(BreakerMachine, database_server, template, examples=30)
