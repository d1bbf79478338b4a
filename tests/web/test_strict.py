"""JSON that is refused, and why."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.client.strict import NotStrictError, Reason, load_strict
from tests.web.serving import Api

REFUSED = [
    (b"\xef\xbb\xbf{}", Reason.BYTE_ORDER_MARK),
    ("{}".encode("utf-16"), Reason.NOT_UTF8),
    (b'"\xff"', Reason.NOT_UTF8),
    (b'"\xed\xa0\x80"', Reason.NOT_UTF8),
    (b'{"a":1,"a":2}', Reason.DUPLICATE_KEY),
    (b'{"a":1,"\\u0061":2}', Reason.DUPLICATE_KEY),
    (b'[{"a":{"b":1,"b":1}}]', Reason.DUPLICATE_KEY),
    (b"NaN", Reason.NOT_FINITE),
    (b"[Infinity]", Reason.NOT_FINITE),
    (b"-Infinity", Reason.NOT_FINITE),
    (b"1e400", Reason.NOT_FINITE),
    (b"9" * 5_000, Reason.LONG_INTEGER),
    (b"18446744073709551616", Reason.LONG_INTEGER),
    (b"-9223372036854775809", Reason.LONG_INTEGER),
    (b"[" * 65 + b"]" * 65, Reason.TOO_DEEP),
    (b'{"a":' * 500 + b"1" + b"}" * 500, Reason.TOO_DEEP),
    (b"[" * 100_000, Reason.TOO_DEEP),
    (b'"\\u0000"', Reason.NUL),
    (b'{"\\u0000":1}', Reason.NUL),
    (b'["\\ud800"]', Reason.LONE_SURROGATE),
    (b'"\\udc00\\ud800"', Reason.LONE_SURROGATE),
    (b'"\x00"', Reason.NOT_JSON),
    (b"{} {}", Reason.NOT_JSON),
    (b"{'a':1}", Reason.NOT_JSON),
    (b"[1,]", Reason.NOT_JSON),
    (b"01", Reason.NOT_JSON),
    (b'{"a"', Reason.NOT_JSON),
    (b"// no", Reason.NOT_JSON),
]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.sampled_from("abc[{\"'\\")), inner),
)


class TestStrictJson:
    """A2, A3, A4: each way to be refused has its documented reason; the rest is read as it is."""

    @pytest.mark.parametrize(("body", "reason"), REFUSED)
    def test_what_has_two_readings_is_refused(self, body: bytes, reason: Reason):
        with pytest.raises(NotStrictError) as caught:
            load_strict(body)
        assert caught.value.reason is reason

    @given(VALUES)
    def test_everything_else_is_read_as_it_is(self, value: object):
        for ascii_only in (True, False):
            text = json.dumps(value, ensure_ascii=ascii_only)
            assert load_strict(text.encode()) == value

    def test_brackets_in_strings_are_no_depth(self):
        value = ['"' + "[{" * 500 + "\\" * 3, *["["] * 100]
        assert load_strict(json.dumps(value).encode()) == value
        assert load_strict(b"[" * 64 + b"]" * 64)

    async def test_the_client_is_told_the_reason_and_nothing_is_stored(self, api: Api):
        client = await api.client()
        headers = {"Content-Type": "application/json"}
        for body, reason in REFUSED:
            answer = await client.post("/v1/jobs", content=body, headers=headers)
            told = answer.json()
            assert (answer.status_code, told["code"]) == (400, "VALIDATION_ERROR")
            assert told["errors"] == [{"path": "$", "message": str(reason)}]
        wide = json.dumps({f"k{number}": 1 for number in range(100_000)}).encode()
        assert (await client.post("/v1/jobs", content=wide, headers=headers)).status_code == 422
        assert await api.engine.jobs() == []

    @pytest.mark.parametrize("text", ["\x01\x1b[31m", "a\u202eb", "\x7f\x85", "=1+1", "<script>"])
    async def test_odd_characters_come_back_as_they_were(self, api: Api, text: str):
        client = await api.client()
        body = {"pipeline": "decide", "payload": {"title": text}, "metadata": {text: text}}
        answer = await client.post("/v1/jobs", json=body)
        assert answer.status_code == 202, answer.text
        where = answer.headers["Location"]
        assert (await client.get(f"{where}/input")).json()["payload"]["title"] == text
        assert (await client.get(where)).json()["metadata"] == {text: text}
