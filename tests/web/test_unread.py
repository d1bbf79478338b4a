"""Clients that ask, and do not read what they get."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable

from headrace.web.protocol import UNREAD_S, GuardedProtocol, abort_unread
from tests.waiting import eventually
from tests.web.asking import submit
from tests.web.serving import Api, who

MIB = 1_024 * 1_024
SMALL = 4_096


@contextlib.asynccontextmanager
async def flooded(api: Api) -> AsyncIterator[socket.socket]:
    """A connection with a small window, that asks for more than the system keeps for it."""
    job = await submit(api, "large", 900_000)
    await api.engine.run_until_empty()
    key = await api.key(who())
    ask = f"GET /v1/jobs/{job}/result HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {key}\r\n\r\n"
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        line.setblocking(False)  # noqa: FBT003 - of the standard library
        loop = asyncio.get_running_loop()
        await loop.sock_connect(line, ("127.0.0.1", api.port))
        await loop.sock_sendall(line, ask.encode() * 12)
        await eventually(
            lambda: any(one.transport.get_write_buffer_size() for one in open_ones(api))
        )
        yield line


def open_ones(api: Api) -> list[GuardedProtocol]:
    """The connections that the server has."""
    return [one for one in api.server.server_state.connections if isinstance(one, GuardedProtocol)]


def look(api: Api, *, later_s: float) -> None:
    """What the server does each second."""
    abort_unread(open_ones(api), asyncio.get_running_loop().time() + later_s)


class TestUnread:
    async def test_one_that_takes_nothing_for_a_minute_is_hung_up_on(self, api: Api):
        async with flooded(api):
            before = len(open_ones(api))
            look(api, later_s=0)
            look(api, later_s=UNREAD_S - 5)
            await asyncio.sleep(0)
            assert len(open_ones(api)) == before
            look(api, later_s=UNREAD_S + 5)
            await eventually(lambda: len(open_ones(api)) == before - 1)

    async def test_also_where_it_is_closing(self, api: Api):
        async with flooded(api):
            [stuck] = [one for one in open_ones(api) if one.transport.get_write_buffer_size()]
            stuck.transport.close()
            look(api, later_s=0)
            look(api, later_s=UNREAD_S + 5)
            await eventually(lambda: stuck not in open_ones(api))

    async def test_one_that_reads_slowly_is_served(self, api: Api):
        async with flooded(api) as line:
            [slow] = [one for one in open_ones(api) if one.transport.get_write_buffer_size()]
            for turn in range(3):
                before = slow.transport.sent
                look(api, later_s=1.5 * UNREAD_S * turn)
                await read_until(line, lambda was=before: slow.transport.sent > was)
            assert slow in open_ones(api)


async def read_until(line: socket.socket, is_enough: Callable[[], bool]) -> None:
    loop = asyncio.get_running_loop()
    while not is_enough():
        assert await loop.sock_recv(line, MIB)
