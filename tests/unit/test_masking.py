from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel, SecretStr

from headrace.telemetry.masking import clean, clean_field, clean_text, clean_trace, is_secret_key

KEY = "sk-proj-Zm9vYmFyYmF6cXV4MTIzNDU2"


@dataclass
class Login:
    user: str
    password: str


class Account(BaseModel):
    api_key: str
    name: str
    pin: SecretStr


class Device(msgspec.Struct):
    access_token: str
    port: int


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class TestKeys:
    @pytest.mark.parametrize(
        "key",
        [
            "api_key",
            "OPENAI_API_KEY",
            "apiKey",
            "APIKey",
            "X-Api-Key",
            "private_key",
            "password",
            "password_hash",
            "db.passwd",
            "token",
            "accessToken",
            "csrf_token",
            "client_secret",
            "Authorization",
            "Set-Cookie",
            "credentials",
        ],
    )
    def test_what_names_a_secret_is_masked(self, key: str) -> None:
        assert is_secret_key(key)
        assert clean_field(key, "x") == "***"
        assert clean_field(key, ["x"]) == "***"
        assert clean_field(key, 7) == "***"

    @pytest.mark.parametrize(
        "key",
        ["total_tokens", "max_tokens", "token_count", "primary_key", "key", "author", "pipeline"],
    )
    def test_what_only_looks_like_it_is_shown(self, key: str) -> None:
        assert clean_field(key, "x") == "x"

    def test_a_secret_that_is_not_given_is_shown_as_none(self) -> None:
        assert clean_field("password", None) is None


class TestDepth:
    def test_keys_are_masked_at_any_depth(self) -> None:
        value = {"a": [{"b": ({"password": "hunter2", "port": 1},)}]}
        assert clean(value) == {"a": [{"b": [{"password": "***", "port": 1}]}]}

    def test_shapes_are_masked_at_any_depth(self) -> None:
        assert clean({"a": [{"b": (f"use {KEY}",)}]}) == {"a": [{"b": ["use ***"]}]}

    def test_shapes_in_keys_are_masked(self) -> None:
        assert clean({KEY: 1}) == {"***": 1}

    def test_fields_of_objects_are_masked(self) -> None:
        account = Account(api_key="abc", name="n", pin=SecretStr("1234"))
        shown = clean([Login("me", "hunter2"), account, Device("t", 1)])
        assert shown == [
            {"user": "me", "password": "***"},
            {"api_key": "***", "name": "n", "pin": "SecretStr('**********')"},
            {"access_token": "***", "port": 1},
        ]

    def test_the_original_is_left_alone(self) -> None:
        value = {"password": "hunter2", "n": [1]}
        clean(value)
        assert value == {"password": "hunter2", "n": [1]}

    def test_a_value_that_holds_itself_comes_to_an_end(self) -> None:
        value: dict[str, Any] = {}
        value["again"] = [value, value]
        assert "nested deeper" in str(clean(value))

    def test_a_long_list_is_counted_instead_of_shown(self) -> None:
        shown = clean(list(range(2_000)))
        assert isinstance(shown, list)
        assert shown[:2] == [0, 1]
        assert shown[-1] == f"... {2_000 - (len(shown) - 1)} more"
        assert len(shown) < 600

    def test_an_object_that_cannot_be_shown_is_named(self) -> None:
        assert clean([Unprintable()]) == ["<Unprintable whose repr raised RuntimeError>"]


class TestShapes:
    @pytest.mark.parametrize(
        "secret",
        [
            KEY,
            "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
            "AKIAIOSFODNN7EXAMPLE",
            "AIzaSyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY",
            "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
            "github_pat_11ABCDEFG0abcdefghijkl",
            "xoxb-123456789012-abcdefABCDEF",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw+h5hN3kHqzM=",
            "hr_abcdefgh234567ab_abcdefghijklmnopqrstuvwxyz234567abcd",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
            "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY-----\nMIIEow and no end",
            "Bearer abcdefgh12345678",
        ],
    )
    def test_known_shapes_are_masked_inside_text(self, secret: str) -> None:
        assert clean_text(f"before {secret}").replace("***", "") == "before "

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("at postgresql://app:hunter2@db:5432/x", "at postgresql://***@db:5432/x"),
            ("postgres://u:p@ss/w@h/db", "postgres://***@h/db"),
            ("password=hunter2, user=x", "password=***, user=x"),
            ("a: password=x", "a: password=***"),
            ("Login(user='me', password='a b')", "Login(user='me', password=***)"),
            ('{"api_key": "abc", "n": 1}', '{"api_key": ***, "n": 1}'),
            ("Authorization: Token abc def", "Authorization: ***"),
            ("total_tokens=33", "total_tokens=33"),
            ("http://host:80/path", "http://host:80/path"),
            ("the error was: token expired", "the error was: token expired"),
        ],
    )
    def test_logins_and_assignments_are_masked_and_the_rest_stays(
        self, text: str, shown: str
    ) -> None:
        assert clean_text(text) == shown


class TestLength:
    def test_text_of_200_characters_is_shown_whole(self) -> None:
        assert clean_text("x" * 200) == "x" * 200

    def test_longer_text_is_cut_and_its_length_shown(self) -> None:
        assert clean_text("x" * 201) == "x" * 200 + "... (201 characters)"

    def test_a_secret_across_the_cut_leaves_no_half(self) -> None:
        assert "sk-" not in clean_text("x" * 190 + KEY)

    def test_a_traceback_may_be_longer_but_not_endless(self) -> None:
        assert clean_trace("x" * 9_000) == "x" * 9_000
        assert clean_trace("x" * 10_001).endswith("x... (10001 characters)")
