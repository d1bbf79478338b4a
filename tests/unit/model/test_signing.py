"""Signatures: who has the key, which body, when."""

import base64
import hashlib
import hmac
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.model.signing import (
    SignatureError,
    derive,
    secret_key,
    secret_text,
    sign,
    verify,
)

NEW, OLD, FOREIGN = (derive(b"m" * 32, f"webhook:1:{number}") for number in (2, 1, 3))
BODY = b'{"job_id": "1"}'
NOW = 1_800_000_000
Forge = Callable[[dict[str, str]], dict[str, str]]


def signed(*keys: bytes, at: int = NOW) -> dict[str, str]:
    return sign(keys, "event-1", at, BODY)


class TestKeys:
    def test_a_purpose_has_one_key_that_is_no_other_purposes(self):
        assert derive(b"m" * 32, "webhook:1:2") == NEW
        assert len({NEW, OLD, FOREIGN, derive(b"n" * 32, "webhook:1:2")}) == 4

    def test_a_key_is_told_as_a_text_that_gives_it_back(self):
        assert secret_text(NEW).startswith("whsec_")
        assert secret_key(secret_text(NEW)) == NEW

    def test_a_text_that_holds_none_is_refused(self):
        with pytest.raises(ValueError, match="Only base64"):
            secret_key("whsec_***")


class TestSigning:
    def test_it_is_the_signature_of_the_standard(self):
        message = b"event-1.1800000000." + BODY
        expected = base64.b64encode(hmac.new(NEW, message, hashlib.sha256).digest()).decode()
        assert signed(NEW) == {
            "webhook-id": "event-1",
            "webhook-timestamp": "1800000000",
            "webhook-signature": f"v1,{expected}",
        }

    def test_it_is_the_example_of_the_standard(self):
        key = secret_key("whsec_plJ3nmyCDGBKInavdOK15jsl")
        headers = sign(
            [key],
            "msg_loFOjxBNrRLzqYUf",
            1731705121,
            b'{"event_type":"ping","data":{"success":true}}',
        )
        assert headers["webhook-signature"] == "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="


class TestVerifying:
    def test_either_key_is_good_while_it_is_changed(self):
        for sender in ([NEW], [OLD], [NEW, OLD]):
            for receiver in ([NEW, OLD], [OLD, NEW]):
                assert verify(receiver, signed(*sender), BODY, now=NOW) == "event-1"
        assert verify([OLD], signed(NEW, OLD), BODY, now=NOW) == "event-1"

    def test_a_key_that_ended_is_refused(self):
        with pytest.raises(SignatureError, match="no signature"):
            verify([NEW], signed(OLD), BODY, now=NOW)

    @pytest.mark.parametrize("off", [301, -301, 600, -(10**6)])
    def test_it_has_to_be_of_these_five_minutes(self, off: int):
        with pytest.raises(SignatureError, match="too long ago"):
            verify([NEW], signed(NEW, at=NOW - off), BODY, now=NOW)

    @pytest.mark.parametrize("off", [0, 300, -300])
    def test_within_these_it_is_good(self, off: int):
        assert verify([NEW], signed(NEW, at=NOW - off), BODY, now=NOW)

    @pytest.mark.parametrize(
        "forge",
        [
            lambda good: good | {"webhook-id": "event-2"},
            lambda good: good | {"webhook-timestamp": str(NOW + 1)},
            lambda good: good | {"webhook-timestamp": f"{NOW}.0"},
            lambda good: good | {"webhook-timestamp": "٣"},
            lambda good: good | {"webhook-timestamp": ""},
            lambda good: good | {"webhook-id": ""},
            lambda good: good | {"webhook-signature": ""},
            lambda good: good | {"webhook-signature": good["webhook-signature"][3:]},
            lambda good: good | {"webhook-signature": "v2" + good["webhook-signature"][2:]},
            lambda good: good | {"webhook-signature": "v1,*** v1,é v1"},
            lambda good: good | {"webhook-signature": "v1,x " * 10 + good["webhook-signature"]},
            lambda good: {key: good[key] for key in ("webhook-id", "webhook-timestamp")},
            lambda _: {},
        ],
    )
    def test_what_somebody_changed_is_refused(self, forge: Forge):
        with pytest.raises(SignatureError):
            verify([NEW], forge(signed(NEW)), BODY, now=NOW)

    @given(st.binary(max_size=40))
    def test_no_other_body_has_the_signature(self, body: bytes):
        if body != BODY:
            with pytest.raises(SignatureError):
                verify([NEW], signed(NEW), body, now=NOW)
