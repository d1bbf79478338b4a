"""The address of a call, taken apart and checked, before anything is looked up."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from headrace.egress.addresses import is_public, parse_address
from headrace.errors import InvalidError

if TYPE_CHECKING:
    from headrace.egress.addresses import Address

LONGEST_URL: Final = 2_048
PORTS: Final = frozenset({443, 8_443})
"""Where web servers with TLS are; others would make a scanner of us."""
SCHEMES: Final = {"https": 443, "http": 80}
LONGEST_HOST: Final = 253
_URL: Final = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._-]+)"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>[/?][^\s#\\]*|)",
    re.ASCII | re.IGNORECASE,
)
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
"""A last label like this makes resolvers take the whole name for an IPv4 address."""


class TargetError(InvalidError):
    """This address is never called; nothing was sent.

    Attributes:
        problem: What is wrong with it, and what would be accepted.
    """

    code = "target_refused"

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return self.problem


@dataclass(frozen=True, slots=True)
class Rules:
    """What may be called besides public hosts by TLS.

    Attributes:
        private_hosts: Names and addresses, as they stand in a URL, that may be private, have any
            port, and need no TLS: for development and tests.
    """

    private_hosts: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Target:
    """Where a call goes, but for the address of its host."""

    scheme: str
    host: str
    """In lower case; an IPv6 address without its brackets."""
    port: int
    path: str
    """With the query; `/` at least."""
    literal: Address | None
    """The address, where the URL has one in place of a name."""
    is_private_allowed: bool

    @property
    def authority(self) -> str:
        """The value of `Host`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == SCHEMES[self.scheme] else f"{host}:{self.port}"

    @property
    def not_public(self) -> str:
        """What is said of its host, whether there is none of this name or it is a private one.

        Nobody learns from us which names there are inside.
        """
        return f"{self.host} is no public host: its address is private, or there is none"

    def check(self, address: Address) -> None:
        """Refuse an address of its host that is not public.

        Raises:
            TargetError: It is not.
        """
        if not self.is_private_allowed and not is_public(address):
            raise TargetError(self.not_public)


def parse_target(url: str, rules: Rules) -> Target:
    """What a URL says; nothing is looked up.

    Raises:
        TargetError: It is none that may be called.
    """
    if len(url) > LONGEST_URL:
        raise TargetError(f"the URL has {len(url):,} characters; at most {LONGEST_URL:,} are taken")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise TargetError("a URL has no spaces and no other than ASCII characters; encode them")
    found = _URL.fullmatch(url)
    if found is None:
        raise TargetError(_what_is_wrong(url))
    scheme, host = found["scheme"].lower(), found["host"].lower()
    literal = _literal(host)
    host = host.strip("[]")
    target = Target(
        scheme=scheme,
        host=host,
        port=SCHEMES[scheme] if found["port"] is None else int(found["port"]),
        path=found["path"] if found["path"].startswith("/") else f"/{found['path']}",
        literal=literal,
        is_private_allowed=host in rules.private_hosts,
    )
    _check(target)
    return target


def _what_is_wrong(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    authority = re.split(r"[/?#\\]", rest, maxsplit=1)[0]
    if not separator or scheme.lower() not in SCHEMES:
        return "it is no https URL, as https://hooks.example.com/headrace"
    if "@" in authority:
        return "a URL with a name or a password is not taken: requests are signed instead"
    if "#" in rest:
        return "a URL to call has no fragment; leave out `#` and what follows"
    return "it is no URL with a host, as https://hooks.example.com/headrace"


def _check(target: Target) -> None:
    if target.literal is None:
        _check_name(target)
    else:
        target.check(target.literal)
    if target.is_private_allowed:
        if not 1 <= target.port <= 65_535:  # noqa: PLR2004 - the ports that there are
            raise TargetError(f"{target.port} is no port")
        return
    if target.scheme != "https":
        raise TargetError("what is sent is signed but not encrypted: it has to be https")
    if target.port not in PORTS:
        taken = " and ".join(map(str, sorted(PORTS)))
        raise TargetError(f"port {target.port} is not called; {taken} are")


def _literal(host: str) -> Address | None:
    if not host.startswith("["):
        return parse_address(host)
    literal = parse_address(host[1:-1])
    if literal is None or literal.version == 4:  # noqa: PLR2004 - of IP
        raise TargetError("what stands in brackets is no IPv6 address")
    return literal


def _check_name(target: Target) -> None:
    labels = target.host.split(".")
    if len(target.host) > LONGEST_HOST or not all(map(_LABEL.fullmatch, labels)):
        raise TargetError(f"{target.host[:LONGEST_HOST]} is no name of a host")
    if _NUMBER.fullmatch(labels[-1]):
        raise TargetError(f"{target.host} is no address in its usual form, as 93.184.215.14")
    if len(labels) == 1 and not target.is_private_allowed:
        raise TargetError(f"{target.host} is no full name of a host, as hooks.example.com")
