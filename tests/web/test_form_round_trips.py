"""Forms that say a value, read again; and whatever else may be typed into them."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.web.forms.field import nearest
from headrace.web.forms.making import make_form
from headrace.web.forms.reading import Answer, posted_of
from headrace.web.forms.showing import show
from headrace.web.pages import form_page

words = st.text(
    st.characters(exclude_categories=("C", "Z"), exclude_characters="\x85"), min_size=1, max_size=9
)
keys = st.one_of(words, st.sampled_from(["__proto__", "a.b", "x?", "$.a", "a[0]", "toString"]))
SCALARS: list[st.SearchStrategy[tuple[dict[str, Any], Any]]] = [
    st.tuples(st.just({"type": "string"}), words),
    st.tuples(st.just({"type": "string", "maxLength": 50}), words),
    st.tuples(st.just({"type": "integer"}), st.integers(-(2**63), 2**64 - 1)),
    st.tuples(st.just({"type": "number"}), st.floats(allow_nan=False, allow_infinity=False)),
    st.tuples(st.just({"type": "boolean"}), st.booleans()),
    st.tuples(st.just({"type": "string", "format": "date"}), st.dates().map(str)),
    st.tuples(
        st.just({"anyOf": [{"type": "number"}, {"type": "string"}]}),
        st.integers(10**20, 10**30).map("0.{}7".format),
    ),
    st.lists(
        st.one_of(words, st.sampled_from(["", " "]), st.integers(), st.booleans()),
        min_size=2,
        max_size=9,
        unique_by=repr,
    ).flatmap(lambda values: st.tuples(st.just({"enum": values}), st.sampled_from(values))),
]
scalars = st.one_of(SCALARS)


def _listed(pair: tuple[dict[str, Any], Any]) -> tuple[dict[str, Any], Any]:
    schema, value = pair
    return {"type": "array", "items": schema}, [value, value]


def _or_null(pair: tuple[dict[str, Any], Any]) -> tuple[dict[str, Any], Any]:
    return {"anyOf": [pair[0], {"type": "null"}]}, pair[1]


def _object(members: dict[str, tuple[dict[str, Any], Any]]) -> tuple[dict[str, Any], Any]:
    schema = {
        "type": "object",
        "properties": {name: schema for name, (schema, _) in members.items()},
        "required": list(members),
    }
    return schema, {name: value for name, (_, value) in members.items()}


pairs = st.recursive(
    st.one_of(scalars, st.one_of(SCALARS[:4]).map(_listed), scalars.map(_or_null)),
    lambda inner: st.dictionaries(keys, st.one_of(inner, inner.map(_or_null)), max_size=5).map(
        _object
    ),
    max_leaves=12,
)


class TestWhatIsTyped:
    @given(pairs)
    @settings(max_examples=100, deadline=None)
    def test_a_value_that_a_form_says_is_read_from_it_again(self, pair: tuple[dict[str, Any], Any]):
        schema, value = pair
        form = make_form(schema, "value")
        answer = Answer(form, posted_of(form, value))
        assert answer.problems == {}
        assert plain(answer.value) == plain(value)

    @given(pairs, st.data())
    @settings(max_examples=40, deadline=None)
    def test_whatever_is_typed_is_shown_again_as_text_and_never_as_html(
        self, pair: tuple[dict[str, Any], Any], data: st.DataObject
    ):
        form = make_form(pair[0], "value")
        hostile = '"><script>alert(1)</script>\x00'
        texts = st.one_of(st.just(hostile), st.text(max_size=5))
        posted = {
            name: [data.draw(texts)]
            for one in form.walk()
            for name in (one.name, one.switch)
            if name is not None
        }
        answer = Answer(form, posted)
        problems = {one.name: hostile for one in form.walk()} | answer.problems
        said = dict.fromkeys(("pipeline", "title", "text", "until", "button"), hostile)
        page = form_page(show(form, posted, problems), **said)
        assert b"<script" not in page.body
        nearest(form, hostile)


def plain(value: object) -> str:
    """JSON in which 1.0 and 1 are two, and true and 1 as well."""
    return json.dumps(value)
