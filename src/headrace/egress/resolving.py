"""From the name of a host to its addresses, once for each call."""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Protocol

from headrace.egress.addresses import parse_address
from headrace.egress.target import TargetError
from headrace.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.egress.addresses import Address
    from headrace.egress.target import Target

RESOLVE_S: Final = 3.0
THREADS: Final = 8
"""Of their own: names whose servers never answer hold up no other work of the process."""
_UNKNOWN: Final = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})


class UnknownHostError(TargetError):
    """There is no host of this name, or it has no address."""

    code = "host_unknown"


class Resolver(Protocol):
    """Knows the addresses of hosts."""

    async def resolve(self, host: str, port: int) -> Sequence[Address]:
        """The addresses of a host, in the order in which they are to be tried.

        Raises:
            UnknownHostError: It has none.
            UnavailableError: Nobody can tell now.
        """

    async def close(self) -> None:
        """End its threads."""


class SystemResolver:
    """What the machine itself knows: its hosts file and its name servers."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="headrace names")

    async def resolve(self, host: str, port: int) -> Sequence[Address]:
        """See `Resolver.resolve`."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(RESOLVE_S):
                found = await loop.run_in_executor(self._threads, _look_up, host, port)
        except TimeoutError:
            raise UnavailableError(f"the name servers do not tell where {host} is") from None
        except socket.gaierror as error:
            if error.errno in _UNKNOWN:
                raise UnknownHostError(f"there is no host {host}") from None
            raise UnavailableError(f"the name servers do not tell where {host} is") from None
        except UnicodeError:
            raise UnknownHostError(f"{host} is no name of a host") from None
        addresses = dict.fromkeys(parse_address(str(entry[4][0])) for entry in found)
        return [address for address in addresses if address is not None]

    async def close(self) -> None:
        """End its threads; one that still waits for a name server ends when that answers."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str, port: int) -> list[tuple[int, int, int, str, tuple[object, ...]]]:
    return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))


async def locate(target: Target, resolver: Resolver) -> Sequence[Address]:
    """The addresses of a target, each of which may be called; at least one.

    Raises:
        TargetError: One of them is not public, or there is none.
        UnavailableError: Nobody can tell now.
    """
    if target.literal is not None:
        return [target.literal]  # was checked with the URL
    try:
        addresses = await resolver.resolve(target.host, target.port)
    except UnknownHostError:
        addresses = ()
    if not addresses:
        raise UnknownHostError(target.not_public)
    # All of them: one private address among public ones is how a name is turned against us.
    for address in addresses:
        target.check(address)
    return addresses
