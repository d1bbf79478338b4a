"""The statements of operations keep to the rules, in any order of what may happen."""

import pytest

from tests.reliability.machines import try_any_moves
from tests.reliability.operation_machine import OperationMachine


@pytest.mark.timeout(600)
def test_an_operation_keeps_to_its_rules_after_any_moves(database_server: str, template: str):
    try_any_moves(OperationMachine, database_server, template, examples=25)
