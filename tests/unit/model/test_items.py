from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.errors import ItemsError
from headrace.model.codec import codec_for
from headrace.model.items import EachBinding, content_key, fixed_items, split_list

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def listed(**more: object) -> EachBinding:
    return EachBinding("word", codec_for(str), source_step="words", **more)  # type: ignore[arg-type]


class TestSplitList:
    @given(st.lists(json_values), st.sampled_from([(",", ":"), (" , ", " : "), (",\n\t", ":")]))
    def test_the_elements_are_the_very_texts_that_are_stored(
        self, values: list[object], separators: tuple[str, str]
    ):
        texts = [json.dumps(value, separators=separators) for value in values]
        assert split_list(f" [ {separators[0].join(texts)} ] ") == texts

    def test_a_large_number_keeps_its_digits(self):
        assert split_list("[123456789012345678901234567890,1.10]") == [
            "123456789012345678901234567890",
            "1.10",
        ]

    def test_an_object_is_no_list(self):
        with pytest.raises(ValueError, match="not a JSON list"):
            split_list('{"a":1}')


class TestPlanOfAList:
    def test_items_are_keyed_by_their_index(self):
        assert listed().plan('["a","b","a"]') == [("0", '"a"'), ("1", '"b"'), ("2", '"a"')]

    def test_an_empty_list_has_no_items(self):
        assert listed().plan("[]") == []

    def test_a_key_function_sees_the_decoded_item(self):
        assert listed(key_of=str.upper).plan('["a","b"]') == [("A", '"a"'), ("B", '"b"')]

    def test_two_items_of_one_key_are_refused_by_their_places(self):
        with pytest.raises(ItemsError, match="elements 0 and 2 have the same key 'A'"):
            listed(key_of=str.upper).plan('["a","b","A"]')

    @pytest.mark.parametrize("key", ["", "x" * 201, "a\nb", 3, None])
    def test_a_key_that_cannot_be_shown_is_refused(self, key: object):
        with pytest.raises(ItemsError, match="cannot be used"):
            listed(key_of=lambda _: key).plan('["a"]')

    def test_more_than_the_limit_is_refused(self):
        assert len(listed().plan("[1,2]", limit=2)) == 2
        with pytest.raises(ItemsError, match="3 items; at most 2"):
            listed().plan("[1,2,3]", limit=2)
        with pytest.raises(ItemsError, match="10,001 items"):
            listed().plan(json.dumps([0] * 10_001))


class TestFixedItems:
    def test_items_are_keyed_by_their_content(self):
        items = fixed_items("word", ["a", "b"], codec_for(str), None)
        assert items == ((content_key('"a"'), '"a"'), (content_key('"b"'), '"b"'))

    def test_the_content_key_does_not_depend_on_the_place(self):
        one, other = (fixed_items("n", order, codec_for(int), None) for order in ([1, 2], [2, 1]))
        assert dict(one) == dict(other)

    def test_a_binding_gives_them_back(self):
        items = fixed_items("word", ["a"], codec_for(str), str.upper)
        assert EachBinding("word", codec_for(str), items=items).plan(None) == [("A", '"a"')]
