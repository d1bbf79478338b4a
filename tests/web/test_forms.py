"""Forms from JSON schemas: what a person is asked, and what is made of the answer."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from msgspec import Struct
from pydantic import AwareDatetime, BaseModel, Field, NaiveDatetime, field_validator
from typing_extensions import TypedDict

from headrace.model.codec import codec_for
from headrace.web.forms.answering import read_answer
from headrace.web.forms.field import Field as Form
from headrace.web.forms.field import Kind
from headrace.web.forms.making import make_form
from headrace.web.forms.reading import ON, Answer, posted_of
from headrace.web.forms.showing import show
from headrace.web.pages import form_page


class Color(enum.Enum):
    RED = "red"
    DARK_BLUE = "dark_blue"


@dataclass
class Address:
    street: str
    number: int | None = None


class Everything(BaseModel):
    """What a form can ask for."""

    agreed: bool
    color: Color
    kind: Literal["a", "b", 1]
    price: Annotated[Decimal, Field(ge=0, le=1_000, description="In EUR.")]
    pieces: Annotated[int, Field(ge=1, le=20)]
    share: float
    address: Address
    day: date
    at: datetime
    clock: time
    id: UUID
    terms: Literal[True]
    note: str = ""
    told: bool = True
    size: int | None = None
    second: Address | None = None
    tags: set[Color] = set()
    lines: list[str] = []
    more: dict[str, int] = {}
    pair: tuple[int, str] = (1, "a")
    for_: Annotated[str, Field(alias="for-whom", max_length=20)] = "all"


FILLED: dict[str, list[str]] = {
    "$.agreed": ["false"],
    "$.color": ["dark_blue"],
    "$.kind": ["1"],
    "$.price": ["12,50"],
    "$.pieces": [" 7 "],
    "$.share": ["0.25"],
    "$.address.street": ["Mill Lane\r\nBack door"],
    "$.address.number": [""],
    "$.day": ["2026-05-01"],
    "$.at": ["2026-05-01T14:30"],
    "$.clock": ["14:30"],
    "$.id": ["01a20653-257c-77ea-8d2a-41c9dea89d0e"],
    "$.terms": [ON],
    "$.tags": ["red", "dark_blue"],
    "$.lines": ["one\r\n\r\ntwo"],
    "$.more": ['{"x": 1}'],
    "$.pair": ['[2, "b"]'],
    "$.for-whom": ["Ann"],
}


def form_of(kind: object) -> Form:
    return make_form(codec_for(kind).schema(), "approval")


def kinds(form: Form) -> dict[str, Kind]:
    return {one.path: one.kind for one in form.walk()}


class TestTheFields:
    def test_each_type_is_asked_for_in_its_own_way(self):
        assert kinds(form_of(Everything)) == {
            "$": Kind.GROUP,
            "$.agreed": Kind.YES_NO,
            "$.color": Kind.CHOICE,
            "$.kind": Kind.CHOICE,
            "$.price": Kind.LOOSE,
            "$.pieces": Kind.INTEGER,
            "$.share": Kind.NUMBER,
            "$.address": Kind.GROUP,
            "$.address.street": Kind.AREA,
            "$.address.number": Kind.INTEGER,
            "$.day": Kind.DATE,
            "$.at": Kind.MOMENT,
            "$.clock": Kind.TIME,
            "$.id": Kind.TEXT,
            "$.terms": Kind.TICK,
            "$.note": Kind.AREA,
            "$.told": Kind.TICK,
            "$.size": Kind.INTEGER,
            "$.second": Kind.GROUP,
            "$.second.street": Kind.AREA,
            "$.second.number": Kind.INTEGER,
            "$.tags": Kind.SEVERAL,
            "$.lines": Kind.LIST,
            "$.more": Kind.JSON,
            "$.pair": Kind.JSON,
            "$[for-whom]": Kind.TEXT,
        }

    def test_what_is_typed_becomes_the_value(self):
        answer = Answer(form_of(Everything), FILLED)
        assert answer.problems == {}
        value = codec_for(Everything).decode(answer.text().decode())
        assert value.agreed is False
        assert (value.color, value.kind, value.price) == (Color.DARK_BLUE, 1, Decimal("12.50"))
        assert (value.pieces, value.share) == (7, 0.25)
        assert value.address == Address("Mill Lane\nBack door")
        assert (value.at.isoformat(), value.clock) == ("2026-05-01T14:30:00+00:00", time(14, 30))
        assert (value.told, value.size, value.second) == (False, None, None)
        assert (value.tags, value.lines) == ({Color.RED, Color.DARK_BLUE}, ["one", "two"])
        assert (value.more, value.pair, value.for_) == ({"x": 1}, (2, "b"), "Ann")

    def test_an_empty_form_says_what_has_to_be_filled_in(self):
        problems = Answer(form_of(Everything), {}).problems
        wanted = ("color", "kind", "price", "pieces", "share", "day", "at", "clock", "id", "agreed")
        assert problems.keys() == {f"$.{name}" for name in (*wanted, "terms", "address.street")}
        assert problems["$.agreed"] == problems["$.color"] == "Choose one of these."
        assert problems["$.terms"] == "Tick this box to confirm."

    @pytest.mark.parametrize(
        ("kind", "posted", "value"),
        [
            (bool, {"$": ["true"]}, True),
            (Color | None, {}, None),
            (int | None, {"$": [""]}, None),
            (Literal["go"], {}, "go"),
            (list[int], {"$": ["1\n2\n"]}, [1, 2]),
            (str, {"$": ["  a "]}, "  a "),
            (dict[str, int], {"$": ['{"a": 1}']}, {"a": 1}),
            (timedelta, {"$": ["PT90S"]}, "PT90S"),
            (int | str, {"$": ["12"]}, 12),
            (int | str, {"$": ["twelve"]}, "twelve"),
            (int | str, {"$": ["01067"]}, "01067"),
            (int | str, {"$": ["+4935112345"]}, "+4935112345"),
            (Decimal, {"$": ["12,50"]}, "12.50"),
            (Decimal, {"$": ["0.12345678901234567890"]}, "0.12345678901234567890"),
        ],
        ids=str,
    )
    def test_a_value_that_is_no_object_is_one_field(
        self, kind: object, posted: dict[str, list[str]], value: object
    ):
        answer = Answer(form_of(kind), posted)
        assert (answer.value, answer.problems) == (value, {})
        codec_for(kind).decode(answer.text().decode())

    def test_types_of_other_libraries_are_forms_too(self):
        class Told(Struct):
            ok: bool
            note: str | None = None

        class Typed(TypedDict):
            ok: bool

        assert kinds(form_of(Told)) == {
            "$": Kind.GROUP,
            "$.ok": Kind.YES_NO,
            "$.note": Kind.AREA,
        }
        assert kinds(form_of(Typed))["$.ok"] is Kind.YES_NO

    @pytest.mark.parametrize(
        ("text", "read"),
        [("7", 7), ("7.5", 7.5), ("7,5", 7.5), ("-.5", -0.5), ("1e3", 1000.0), ("1,2345", 1.2345)],
    )
    def test_a_number_is_read_as_people_write_it(self, text: str, read: float):
        assert Answer(form_of(float), {"$": [text]}).value == read

    @pytest.mark.parametrize(
        "text",
        ["1,500", "1.5.0", "abc", "NaN", "Infinity", "1e999", "0x10", "٣", "1 000", "9" * 5000],
    )
    def test_what_may_be_another_number_is_none(self, text: str):
        problems = Answer(form_of(float), {"$": [text]}).problems
        assert problems == {"$": "Enter a number, as 12.5."}

    def test_a_default_stands_there_and_can_be_taken_away(self):
        class Said(BaseModel):
            note: str = "fine"
            size: int = 3

        form = form_of(Said)
        assert posted_of(form) == {"$.note": ["fine"], "$.size": ["3"]}
        assert Answer(form, {"$.note": [""], "$.size": [""]}).value == {"note": ""}

    def test_what_nests_too_deeply_or_is_too_much_is_asked_for_as_json(self):
        class Tree(BaseModel):
            name: str
            left: Tree | None = None
            right: Tree | None = None

        wide = {"type": "object", "properties": {f"n{n}": {"type": "string"} for n in range(150)}}
        assert form_of(Tree).kind in {Kind.GROUP, Kind.JSON}
        assert make_form(wide, "wide").kind is Kind.JSON
        deep: dict[str, Any] = {"type": "string"}
        for _ in range(500):
            deep = {"type": "object", "properties": {"in": deep}}
        assert sum(1 for _ in make_form(deep, "deep").walk()) < 10

    @pytest.mark.parametrize(
        "kind",
        [
            {"type": "array", "items": {"$ref": "#/$defs/A"}},
            {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"$ref": "#/$defs/A"}}]},
        ],
        ids=["list", "union"],
    )
    def test_lists_and_unions_that_name_themselves_are_asked_for_as_json(
        self, kind: dict[str, Any]
    ):
        form = make_form({"$ref": "#/$defs/A", "$defs": {"A": kind}}, "nested")
        assert form.kind is Kind.JSON
        assert Answer(form, {"$": ["[[], [[]]]"]}).value == [[], [[]]]

    def test_what_names_itself_often_is_not_looked_at_for_long(self):
        parts = {f"n{n}": {"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}]} for n in range(200)}
        schema = {"$ref": "#/$defs/A", "$defs": {"A": {"type": "object", "properties": parts}}}
        assert make_form(schema, "wide").kind is Kind.JSON

    def test_a_choice_may_be_a_text_without_letters(self):
        form = form_of(Literal["", "a"])
        empty = form.choices[0]
        assert (empty.value, empty.label) == ("", "Empty")
        assert Answer(form, {"$": [empty.sent]}).value == ""
        assert Answer(form, {"$": [""]}).problems == {"$": "Choose one of these."}

    def test_references_that_go_in_a_circle_end(self):
        schema = {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}}
        assert make_form(schema, "odd").kind is Kind.JSON
        assert make_form({"$ref": "#/$defs/Nowhere"}, "odd").kind is Kind.JSON

    @pytest.mark.parametrize(
        "wrong", ["{", '{"a": 1, "a": 2}', "[" * 70 + "]" * 70, "NaN", "1e999"]
    )
    def test_json_is_as_strict_as_in_a_body(self, wrong: str):
        assert "$" in Answer(form_of(dict[str, Any]), {"$": [wrong]}).problems

    def test_a_choice_that_was_never_offered_is_none(self):
        answer = Answer(form_of(Color), {"$": ["green"]})
        assert answer.problems == {"$": "Choose one of these."}
        assert "$" in Answer(form_of(set[Color]), {"$": ["red", "green"]}).problems

    def test_only_what_is_asked_for_is_read(self):
        posted = {"$.street": ["a"], "$.admin": ["true"], "__proto__": ["x"], "$": ["{}"]}
        assert Answer(form_of(Address), posted).value == {"street": "a", "number": None}

    @pytest.mark.parametrize(
        ("kind", "stored"),
        [
            (datetime, "2026-05-01T14:30:00Z"),
            (AwareDatetime, "2026-05-01T14:30:00Z"),
            (NaiveDatetime, "2026-05-01T14:30:00"),
        ],
    )
    def test_a_moment_is_in_utc_where_its_type_takes_a_zone(self, kind: object, stored: str):
        text, problems = read_answer(form_of(kind), {"$": ["2026-05-01T14:30"]}, codec_for(kind))
        assert (json.loads(text), problems) == (stored, {})

    def test_moments_with_and_without_a_zone_stand_beside_each_other(self):
        class Both(BaseModel):
            at: AwareDatetime
            shown: NaiveDatetime

        posted = {"$.at": ["2026-05-01T14:30"], "$.shown": ["2026-05-01T16:30"]}
        text, problems = read_answer(form_of(Both), posted, codec_for(Both))
        assert problems == {}
        assert json.loads(text) == {"at": "2026-05-01T14:30:00Z", "shown": "2026-05-01T16:30:00"}

    def test_a_moment_is_not_blamed_for_what_is_wrong_elsewhere(self):
        class Due(BaseModel):
            at: AwareDatetime
            number: Annotated[int, Field(le=10)]

        posted = {"$.at": ["2026-05-01T14:30"], "$.number": ["12"]}
        assert read_answer(form_of(Due), posted, codec_for(Due))[1].keys() == {"$.number"}

    def test_what_the_type_refuses_is_told_at_its_field_in_words_for_people(self):
        class Even(BaseModel):
            number: Annotated[int, Field(le=10)]
            inner: Address

            @field_validator("number")
            @classmethod
            def _check(cls, number: int) -> int:
                if number % 2:
                    raise ValueError("an even number is needed")
                return number

        def read(number: str) -> dict[str, str]:
            posted = {"$.number": [number], "$.inner.street": ["a"], "$.inner.number": ["1"]}
            return read_answer(form_of(Even), posted, codec_for(Even))[1]

        assert read("3") == {"$.number": "an even number is needed."}
        assert read("12") == {"$.number": "This should be less than or equal to 10."}
        assert read("4") == {}

    def test_an_object_or_nothing_is_asked_for_with_a_box(self):
        inner = {"type": "object", "properties": {"b": {"type": "integer"}}, "required": ["b"]}
        form = make_form({"anyOf": [inner, {"type": "null"}]}, "odd")
        said = dict.fromkeys(("pipeline", "title", "text", "until", "button"), "")
        page = bytes(form_page(show(form, posted_of(form), {}), **said).body).decode()
        assert f'name="{form.switch}"' in page
        assert Answer(form, {"$?": [ON], "$.b": ["7"]}).value == {"b": 7}

    def test_members_may_be_called_as_they_like(self):
        names = ["__proto__", "constructor", "a.b", "a", "b", "a][b", "$", "?", "a?", "%2e", ""]
        inner = {"type": "object", "properties": {"b": {"type": "integer"}}, "required": ["b"]}
        optional = {"anyOf": [inner, {"type": "null"}]}
        schema: dict[str, Any] = {
            "type": "object",
            "properties": {name: {"type": "integer"} for name in names},
            "required": [*names, "maybe", "maybe?"],
        }
        value: dict[str, Any] = {name: number for number, name in enumerate(names)}
        # What could be mistaken for a member of an object, or for the box of an optional one.
        schema["properties"] |= {"a": inner, "a?": {"type": "string"}, "maybe": optional}
        schema["properties"]["maybe?"] = {"type": "string"}
        value |= {"a": {"b": 7}, "a?": "on", "maybe": None, "maybe?": "on"}
        form = make_form(schema, "odd")
        assert Answer(form, posted_of(form, value)).value == value
