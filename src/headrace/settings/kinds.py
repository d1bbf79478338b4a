"""The types of settings: what a text has to be, and how it is read."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from headrace.settings.issuers import TrustedIssuer, check_once, parse_issuers


def _split(value: object) -> object:
    return tuple(name.strip() for name in value.split(",")) if isinstance(value, str) else value


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _check_address(address: SecretStr) -> SecretStr:
    if not re.match(r"postgres(ql)?://\S+$", address.get_secret_value()):
        raise ValueError("no address of a PostgreSQL")
    return address


def _check_origin(origin: str) -> str:
    if not re.fullmatch(r"https?://[\w.-]+(:\d+)?", origin):
        raise ValueError("no origin")
    return origin


def _check_key(key: SecretStr) -> SecretStr:
    text = key.get_secret_value()
    if len(text) < SHORTEST_KEY or not text.isprintable() or " " in text:
        raise ValueError("no key")
    return key


SHORTEST_KEY: Final = 32
"""Characters: 128 random bits in hexadecimal digits."""
LogLevel = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_upper)]
Endpoint = Annotated[str, Field(max_length=500, pattern=r"^https?://[^\s@]+$")]
PublicAddress = Annotated[
    str, Field(max_length=300, pattern=r"^https?://[\w.-]+(:\d{1,5})?(/[\w.~-]+)*/?$")
]
Origin = Annotated[str, AfterValidator(_check_origin)]
Origins = Annotated[tuple[Origin, ...], NoDecode, BeforeValidator(_split)]
Header = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9-]+$")]
Proxy = Annotated[str, Field(pattern=r"^(\*|[0-9a-fA-F:.]+(/\d{1,3})?)$")]
Proxies = Annotated[tuple[Proxy, ...], NoDecode, BeforeValidator(_split)]
Headers = Annotated[tuple[Header, ...], NoDecode, BeforeValidator(_split)]
Issuers = Annotated[
    tuple[TrustedIssuer, ...],
    NoDecode,
    BeforeValidator(parse_issuers),
    AfterValidator(check_once),
]
SigningKeys = Annotated[
    tuple[Annotated[SecretStr, AfterValidator(_check_key)], ...],
    NoDecode,
    BeforeValidator(_split),
    Field(max_length=2),
]
Host = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9._:-]+$")]
Hosts = Annotated[tuple[Host, ...], NoDecode, BeforeValidator(_split)]
Claim = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^\S+$")]
HostPort = Annotated[str, Field(max_length=300, pattern=r"^[\w.\[\]:-]+:\d{1,5}$")]
TopicName = Annotated[str, Field(max_length=255, pattern=r"^[A-Za-z][\w.~+%-]{2,}$")]
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[\w.-]+$")]
Names = Annotated[tuple[Name, ...], NoDecode, BeforeValidator(_split), Field(min_length=1)]
Address = Annotated[SecretStr, AfterValidator(_check_address)]
Port = Annotated[int, Field(ge=1, le=65_535)]


def per_minute(usual: int, meaning: str) -> Any:  # noqa: ANN401 - the default of a field
    """A number of requests of one address in a minute; 0 counts nothing."""
    return Field(usual, ge=0, le=100_000, description=meaning)


def per_tenant(usual: int, meaning: str) -> Any:  # noqa: ANN401 - the default of a field
    """A number of requests of one tenant in a minute; 0 counts nothing."""
    told = {"default_text": f"{usual}; 0 in development"}
    return Field(usual, ge=0, le=1_000_000, description=meaning, json_schema_extra={**told})
