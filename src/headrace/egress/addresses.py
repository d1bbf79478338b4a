"""Which addresses are public: a closed list, because every other list forgets something.

Python's own `is_global` holds several forms of 127.0.0.1 for public (`::127.0.0.1`,
`64:ff9b::7f00:1`, `2002:7f00:1::`), and multicast too.
"""

from __future__ import annotations

from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

UNICAST: Final[tuple[Network, ...]] = tuple(
    map(ip_network, ("0.0.0.0/1", "128.0.0.0/2", "192.0.0.0/3", "2000::/3"))
)
"""What is given to hosts of the Internet: all below 224.0.0.0, and the one part of IPv6."""
SPECIAL: Final[tuple[Network, ...]] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",  # this network: 0 is this machine
        "10.0.0.0/8",
        "100.64.0.0/10",  # behind a provider's NAT; metadata of Alibaba
        "127.0.0.0/8",
        "168.63.129.16/32",  # the platform behind machines of Azure
        "169.254.0.0/16",  # link-local; metadata of nearly everybody
        "172.16.0.0/12",
        "192.0.0.0/24",  # of protocols; metadata of Oracle
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",
        "203.0.113.0/24",
        "2001::/23",  # of protocols; Teredo, which holds IPv4 addresses
        "2001:db8::/32",
        "2002::/16",  # 6to4, which holds IPv4 addresses
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)
"""Parts of these that are not: IANA's registries of special addresses, and what clouds took."""


def is_public(address: Address) -> bool:
    """Whether anybody on the Internet can have this address."""
    return any(address in network for network in UNICAST) and not any(
        address in network for network in SPECIAL
    )


def parse_address(text: str) -> Address | None:
    """The address that a text is in its usual form; None where it is none."""
    try:
        return ip_address(text)
    except ValueError:
        return None
