"""HEADRACE_AUTH_ISSUERS: whom to believe is said without a second reading."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest

from headrace.errors import SettingsError
from headrace.settings import Settings, load_settings
from headrace.settings.issuers import ScopeName
from headrace.web.auth.identity import Scope
from headrace.web.auth.keys import FITTING

GOOD = {"issuer": "https://login.example.com", "audience": "headrace"}


def read(*entries: Any) -> Settings:
    return load_settings({"HEADRACE_AUTH_ISSUERS": json.dumps(entries)})


class TestIssuers:
    def test_an_issuer_needs_its_name_and_our_audience(self) -> None:
        [issuer] = read(GOOD).auth_issuers
        assert issuer.algorithms == ("RS256", "ES256", "EdDSA")
        assert (issuer.tenant, issuer.scopes, issuer.jwks_url) == (None, (), None)

    def test_one_on_this_machine_needs_no_tls(self) -> None:
        assert read({**GOOD, "issuer": "http://localhost:8081/realms/mill"}).auth_issuers

    @pytest.mark.parametrize(
        "change",
        [
            {"issuer": ""},
            {"issuer": "http://login.example.com"},
            {"issuer": "login"},
            {"issuer": "https://"},
            {"audience": ""},
            {"audience": None},
            {"audience": ["a", "b"]},
            {"jwks_url": "http://10.0.0.1/keys"},
            {"jwks_url": "https://user:secret@login.example.com/keys"},
            {"jwks_url": "file:///etc/keys"},
            {"algorithms": []},
            {"algorithms": ["HS256"]},
            {"algorithms": ["RS256", "none"]},
            {"scopes": ["admin"]},
            {"tenant": ""},
            {"tenants": ["acme"]},
        ],
        ids=str,
    )
    def test_what_is_not_safe_or_not_known_stops_the_start(self, change: dict[str, Any]) -> None:
        with pytest.raises(SettingsError, match="HEADRACE_AUTH_ISSUERS"):
            read({**GOOD, **change})

    def test_an_issuer_is_listed_once(self) -> None:
        with pytest.raises(SettingsError, match="HEADRACE_AUTH_ISSUERS"):
            read(GOOD, {**GOOD, "audience": "another"})

    @pytest.mark.parametrize("text", ["https://login.example.com", "{}", "[1]", "[[]]", "null"])
    def test_it_is_a_list_of_objects(self, text: str) -> None:
        with pytest.raises(SettingsError, match="HEADRACE_AUTH_ISSUERS"):
            load_settings({"HEADRACE_AUTH_ISSUERS": text})

    def test_the_words_are_those_of_the_api(self) -> None:
        assert set(get_args(ScopeName)) == set(Scope)
        assert not any(name.startswith(("HS", "none")) for name in FITTING)
