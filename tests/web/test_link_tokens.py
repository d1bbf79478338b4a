"""Links to signals: what is signed in them, and who can make them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from headrace import Headrace
from headrace.client.links import Links, LinksOffError
from headrace.errors import OptionError, SettingsError, SignalNotFoundError
from headrace.model.link import LONGEST_TOKEN, Link, read_token, write_token
from headrace.settings import Settings, load_settings
from headrace.wiring import public_address
from tests.web.asking_people import KEY, SECRET, Order, desk_of, order, path_of

LINK = Link(uuid4(), 3, "approval", 2_000_000_000, b"12345678", "Order 17", "Two\nlines.")
KEYS = (b"new key of these tests", b"old key of these tests")
URL = "https://jobs.example.com"


class TestATokenOfALink:
    def test_it_says_what_was_signed(self):
        assert read_token(KEYS[:1], write_token(KEYS[0], LINK)) == LINK

    def test_it_is_short_and_fits_into_an_address(self):
        plain = write_token(KEYS[0], replace(LINK, title="", text=""))
        assert len(plain) < 100
        assert re.fullmatch(r"[A-Za-z0-9_-]+", plain)

    def test_each_valid_key_knows_it_and_no_other(self):
        token = write_token(KEYS[1], LINK)
        assert read_token(KEYS, token) == LINK
        assert read_token(KEYS[:1], token) is None
        assert read_token((), token) is None

    def test_nothing_in_it_can_be_changed(self):
        token = write_token(KEYS[0], LINK)
        for place, character in enumerate(token):
            other = "A" if character != "A" else "B"
            assert read_token(KEYS, token[:place] + other + token[place + 1 :]) is None

    @pytest.mark.parametrize(
        "change",
        [
            lambda token: token[:-1],
            lambda token: token + "A",
            lambda token: token + "=",
            lambda token: token + "\n",
            lambda token: token[:9] + " " + token[9:],
            lambda token: token * 100,
            lambda _: "",
            lambda _: "A" * LONGEST_TOKEN,
            lambda _: "é" * 80,
        ],
    )
    def test_another_spelling_is_none(self, change: Callable[[str], str]):
        assert read_token(KEYS, change(write_token(KEYS[0], LINK))) is None

    @given(st.binary(max_size=90))
    @settings(max_examples=60, deadline=None)
    def test_what_a_stranger_makes_up_is_none(self, data: bytes):
        token = base64.urlsafe_b64encode(data).rstrip(b"=").decode()
        assert read_token(KEYS, token) is None

    def test_a_key_of_something_else_does_not_sign_links(self):
        # Signatures are made by a key that is made for links from the master key.
        data = base64.urlsafe_b64decode(write_token(KEYS[0], LINK) + "==")[:-16]
        by_master = hmac.digest(KEYS[0], data, hashlib.sha256)[:16]
        token = base64.urlsafe_b64encode(data + by_master).rstrip(b"=").decode()
        assert read_token(KEYS, token) is None


class TestMakingALink:
    made = Links(lambda: KEYS, lambda: URL)

    def test_it_is_valid_as_long_as_its_signal(self):
        path = path_of(self.made.make(order, uuid4(), 1, "approval"))
        found = read_token(KEYS, path.removeprefix("/signals/"))
        assert found is not None
        assert abs(found.expires - time.time() - 3 * 86_400) < 60

    @pytest.mark.parametrize("valid", [90, 90.0, timedelta(seconds=90)])
    def test_its_time_can_be_chosen(self, valid: float | timedelta):
        url = self.made.make(order, uuid4(), 1, "approval", valid=valid)
        found = read_token(KEYS, url.rpartition("/")[2])
        assert found is not None
        assert abs(found.expires - time.time() - 90) < 60

    def test_each_is_another_one(self):
        job = uuid4()
        made = {self.made.make(order, job, 1, "approval") for _ in range(3)}
        assert len(made) == 3

    def test_a_name_that_no_step_waits_for_is_refused_with_those_there_are(self):
        with pytest.raises(SignalNotFoundError, match=r"'aproval'.*approval"):
            self.made.make(order, uuid4(), 1, "aproval")

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("valid", 0.5),
            ("valid", timedelta(days=366)),
            ("valid", "soon"),
            ("title", "x" * 101),
            ("title", "two\nlines"),
            ("title", "\x1b[31mred"),
            ("title", "order \u202e17"),
            ("text", "x" * 301),
            ("text", "a\x00b"),
        ],
    )
    def test_an_option_that_is_not_accepted_is_named(self, option: str, value: object):
        with pytest.raises(OptionError) as caught:
            self.made.make(order, uuid4(), 1, "approval", **{option: value})
        assert caught.value.option == option

    def test_without_keys_it_says_which_setting_is_missing(self):
        with pytest.raises(LinksOffError, match="HEADRACE_SIGNING_KEYS"):
            Links(tuple, lambda: URL).make(order, uuid4(), 1, "approval")

    def test_in_production_it_takes_the_address_for_people(self):
        given: dict[str, Any] = {
            "env": "production",
            "database_url": "postgresql://nobody@localhost/none",
            "signing_keys": (SecretStr(KEY),),
        }
        app = Headrace([order], settings=Settings(**given))
        with pytest.raises(LinksOffError, match=r"HEADRACE_PUBLIC_URL.*https://jobs"):
            app.links.make(order, uuid4(), 1, "approval")
        app = Headrace([order], settings=Settings(**given, public_url=f"{URL}/mill/"))
        url = app.links.make(order, uuid4(), 1, "approval")
        assert url.startswith(f"{URL}/mill/signals/")
        with pytest.raises(SettingsError, match="https"):
            Settings(**given, public_url="http://jobs.example.com")

    @pytest.mark.parametrize(
        "address",
        ["jobs.example.com", "ftp://a.b", "https://u:p@a.b", "https://a.b/?q", "https://"],
    )
    def test_an_address_that_is_none_is_refused(self, address: str):
        with pytest.raises(SettingsError, match="PUBLIC_URL"):
            load_settings({"HEADRACE_PUBLIC_URL": address})

    def test_for_developers_it_leads_to_their_own_machine(self):
        assert public_address(Settings()) == "http://127.0.0.1:8080"
        everywhere = Settings(host="0.0.0.0", port=9_000)  # noqa: S104 - an address to listen at
        assert public_address(everywhere) == "http://localhost:9000"
        assert public_address(Settings(host="::1")) == "http://[::1]:8080"

    async def test_an_app_makes_one_for_a_job_that_it_knows(self, database_server: str):
        async with desk_of(database_server, works=False, public_url=URL) as desk:
            job = await desk.api.engine.submit(order, Order(SECRET))
            url = await job.signal_url("approval", title="A")
            assert url.startswith(f"{URL}/signals/")
            assert (await desk.look(path_of(url))).status_code == 200
            with pytest.raises(SignalNotFoundError):
                await desk.app.signal_url(job.id, "other")
