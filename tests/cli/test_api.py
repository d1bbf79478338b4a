"""`headrace api`: it serves, or says why it cannot."""

from __future__ import annotations

import socket

import pytest

from tests.cli.conftest import Commands


class TestAnAddressThatCannotBeUsed:
    async def test_a_port_that_is_taken_is_told_in_one_line(self, commands: Commands) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            result = await commands.run("api", "shop:app", HEADRACE_PORT=port)
        assert result.code == 21
        last = result.err.splitlines()[-1]
        assert last.startswith(f"headrace: HEADRACE_PORT: 127.0.0.1:{port} cannot be used: ")
        assert last.endswith("; give another")

    @pytest.mark.parametrize("host", ["192.0.2.1", "nowhere.invalid"])
    async def test_a_host_that_is_not_this_machine_is_named(
        self, commands: Commands, host: str
    ) -> None:
        result = await commands.run("api", "shop:app", HEADRACE_HOST=host)
        assert result.code == 21
        assert f"headrace: HEADRACE_HOST: {host}:" in result.err
