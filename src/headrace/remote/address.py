"""Which API is meant and with which token: checked before anything is sent."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from headrace.remote.errors import AddressError
from headrace.variables import read_settings

if TYPE_CHECKING:
    from urllib.parse import SplitResult

HOW = "give it as https://host, or set HEADRACE_API_URL"


@dataclass(frozen=True, slots=True)
class Address:
    """An API, and what its requests carry."""

    url: str
    """Without a slash at its end."""
    token: str | None = field(repr=False)
    is_plain: bool
    """Whether it is HTTP without TLS: then no proxy of the environment may see it either."""

    @property
    def headers(self) -> dict[str, str]:
        """The headers of every request."""
        return {} if self.token is None else {"Authorization": f"Bearer {self.token}"}


def find_address(url: str | None, token: str | None, *, insecure: bool | None) -> Address:
    """The API that is meant; what is None comes from the environment.

    Raises:
        AddressError: There is none, it cannot be used, or it would show the token to others.
        SettingsError: A variable is not accepted.
    """
    from headrace.remote.settings import RemoteSettings  # noqa: PLC0415 - it costs 0.2 s

    settings = read_settings(RemoteSettings)
    given = url if url is not None else settings.api_url
    if given is None:
        raise AddressError(f"which API? {HOW}")
    parts = _parts_of(given)
    if token is None and settings.api_token is not None:
        token = settings.api_token.get_secret_value()
    address = Address(given.rstrip("/"), _checked_token(token), parts.scheme == "http")
    allowed = settings.api_insecure if insecure is None else insecure
    if address.token is not None and address.is_plain and not (allowed or _is_local(parts)):
        raise AddressError(
            f"{address.url} is plain HTTP, on which everybody could read the token: use https, or "
            "say insecure=True or HEADRACE_API_INSECURE=true where the way is yours alone"
        )
    return address


def _parts_of(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise AddressError(f"the address of the API cannot be read: {HOW}") from None
    if "@" in parts.netloc:  # it may hold a password: it is not shown
        raise AddressError("the address of the API holds a user: give the token apart from it")
    is_usable = parts.scheme in {"http", "https"} and parts.hostname and port != 0
    if not is_usable or parts.query or parts.fragment or not url.isascii() or not url.isprintable():
        raise AddressError(f"{url[:200]!r} is no address of an API: {HOW}")
    return parts


def _checked_token(token: str | None) -> str | None:
    if token is None:
        return None
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise AddressError("the token is empty or holds characters that no token has")
    return token


def _is_local(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
