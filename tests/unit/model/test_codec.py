# ruff: noqa: ANN401 - values and types of any kind are what is tested

import dataclasses
import enum
import json
import math
import sys
import typing
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr
from typing_extensions import TypedDict

from headrace.errors import CodecError, OutputError
from headrace.model.codec import Codec, ScalarCodec, TypeNotStorableError, codec_for
from headrace.model.codec_pydantic import PydanticCodec


@dataclasses.dataclass
class Point:
    x: int
    y: float = 0.0


@dataclasses.dataclass
class Point3(Point):
    z: int = 0


@dataclasses.dataclass(eq=False)
class Plain:
    n: int


class Review(BaseModel):
    agrees: bool
    notes: list[str] = []


class LongReview(Review):
    extra: str = ""


class Aliased(BaseModel):
    score: int = Field(default=0, alias="Score")


class OneWay(BaseModel):
    score: int = Field(default=0, validation_alias="in", serialization_alias="out")


class Excluding(BaseModel):
    kept: int
    dropped: int = Field(default=0, exclude=True)


class Private(BaseModel):
    n: int
    _cache: int = PrivateAttr(default=0)


class Numbers(BaseModel):
    model_config = ConfigDict(ser_json_inf_nan="constants")
    value: float


class Secret(BaseModel):
    password: SecretStr


class Cat(BaseModel):
    name: str


class Dog(BaseModel):
    name: str
    age: int = 0


class Words(TypedDict):
    one: str


class Color(enum.StrEnum):
    RED = "red"


class Struct(msgspec.Struct):
    n: int
    inner: "Struct | None" = None


STORABLE: list[tuple[Any, Any]] = [
    (int, 2**70),
    (int, -5),
    (str, "zero \0 and é and 😀"),
    (bool, True),
    (float, 0.1),
    (float, 3),
    (None, None),
    (int | None, None),
    (Point, Point(1, 2.5)),
    (Plain, Plain(3)),
    (Review, Review(agrees=True, notes=["a"])),
    (Aliased, Aliased(Score=4)),
    (list[Review], [Review(agrees=False)]),
    (dict[str, Point], {"a": Point(1)}),
    (dict[int, str], {1: "a"}),
    (dict[str, Any], {"a": [1, {"b": None}]}),
    (tuple[int, ...], (1, 2)),
    (set[int], {3, 1}),
    (Words, {"one": "1"}),
    (Color, Color.RED),
    (Literal["a", 2], 2),
    (Annotated[int, Field(gt=1)], 3),
    (UUID, UUID(int=5)),
    (Decimal, Decimal("1.10")),
    (datetime, datetime(2026, 1, 2, tzinfo=UTC)),
    (date | datetime, datetime(2026, 1, 2, tzinfo=UTC)),
    (timedelta, timedelta(seconds=1.5)),
    (Point | Review, Review(agrees=True)),
    (Struct, Struct(1, Struct(2))),
    (list[Struct] | None, [Struct(1)]),
    (bytes, b"text"),
]

REFUSED: list[Any] = [
    (float, math.nan, "$"),
    (float, math.inf, "$"),
    (Numbers, Numbers(value=math.inf), "$"),
    (Numbers, Numbers(value=math.nan), "$.value"),
    (dict[str, Any], {"a": [1, math.nan]}, "$.a[1]"),
    pytest.param(int, 10**5_000, "$", id="a number of 5,000 digits"),
    (int, "5", "$"),
    (int, object(), "$"),
    (str, "\ud800", "$"),
    (dict[str, list[str]], {"a": ["x", "\udfff"]}, "$.a[1]"),
    (Point, Point3(1, 2.0, 3), "$"),
    (list[Review], [LongReview(agrees=True, extra="lost")], "$[0]"),
    (OneWay, OneWay(**{"in": 4}), "$.score"),
    (Excluding, Excluding(kept=1, dropped=2), "$.dropped"),
    (Secret, Secret(password=SecretStr("x")), "$.password"),
    (dict[str, Any], {"at": datetime(2026, 1, 2, tzinfo=UTC)}, "$.at"),
    (dict[str, Any], {"pair": (1, 2)}, "$.pair"),
    (list[int], (1, 2), "$"),
    (dict[tuple[int, int], int], {(1, 2): 3}, "$"),
    (str | UUID, str(UUID(int=5)), "$"),
    (Review, None, "$"),
    (bytes, b"\xff", "$"),
    (Struct, Struct("x"), "$.n"),  # type: ignore[arg-type]
    (list[Struct], [Struct(1), None], "$[1]"),
]


class TestEncode:
    @pytest.mark.parametrize(("annotation", "value"), STORABLE)
    def test_what_is_stored_comes_back_equal(self, annotation: Any, value: Any):
        codec = codec_for(annotation)
        back = codec.decode(codec.encode(value))
        if annotation is Plain:
            assert back.n == value.n
        else:
            assert back == value

    @pytest.mark.parametrize(("annotation", "value", "path"), REFUSED)
    def test_what_would_change_is_refused_with_its_path(
        self, annotation: Any, value: Any, path: str
    ):
        with pytest.raises(OutputError) as caught:
            codec_for(annotation).encode(value)
        assert caught.value.path.startswith(path)
        assert str(caught.value).startswith(
            f"cannot be stored as {codec_for(annotation).type_name}"
        )

    def test_a_private_attribute_that_would_be_lost_is_refused(self):
        value = Private(n=1)
        value._cache = 5
        with pytest.raises(OutputError, match="_cache"):
            codec_for(Private).encode(value)

    def test_a_circle_is_refused(self):
        circle: dict[str, Any] = {}
        circle["self"] = circle
        with pytest.raises(OutputError):
            codec_for(dict[str, Any]).encode(circle)

    def test_a_look_alike_of_a_union_is_refused_and_a_discriminator_helps(self):
        @dataclasses.dataclass
        class Miles:
            length: float
            kind: Literal["miles"] = "miles"

        @dataclasses.dataclass
        class Kilometres:
            length: float
            kind: Literal["km"] = "km"

        @dataclasses.dataclass
        class A:
            length: float

        @dataclasses.dataclass
        class B:
            length: float

        with pytest.raises(OutputError):
            codec_for(A | B).encode(B(1.0))
        told = codec_for(Annotated[Miles | Kilometres, Field(discriminator="kind")])
        assert told.decode(told.encode(Kilometres(1.0))) == Kilometres(1.0)

    def test_the_secret_itself_is_not_in_the_error(self):
        with pytest.raises(OutputError) as caught:
            codec_for(Secret).encode(Secret(password=SecretStr("hunter2")))
        assert "hunter2" not in str(caught.value)


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.binary()
    | st.datetimes()
    | st.decimals(),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers() | st.booleans(), inner)
        | st.frozensets(st.integers())
    ),
    max_leaves=6,
)
TYPES = [
    dict[str, Any],
    list[Any],
    int | str,
    float | bool | None,
    dict[int, str],
    list[str | bytes],
]


class TestProperties:
    @given(st.sampled_from(TYPES), anything)
    def test_any_value_comes_back_equal_or_is_refused(self, annotation: Any, value: Any):
        codec = codec_for(annotation)
        try:
            text = codec.encode(value)
        except OutputError:
            return
        assert codec.decode(text) == value
        json.loads(text, parse_constant=pytest.fail)

    @given(st.dictionaries(st.text(st.characters(codec="utf-8")), st.integers() | st.text()))
    def test_plain_json_is_never_refused(self, value: dict[str, Any]):
        codec = codec_for(dict[str, Any])
        try:
            assert codec.decode(codec.encode(value)) == value
        except OutputError as error:
            assert "surrogate" in str(error)  # noqa: PT017 - the only reason to refuse

    @given(st.data(), st.sampled_from([int, str, bool, float]))
    def test_the_fast_way_of_a_scalar_agrees_with_the_general_one(self, data: Any, kind: type):
        value = data.draw(st.one_of(st.from_type(kind), anything))
        fast, general = ScalarCodec(kind), PydanticCodec(kind)
        outcomes = [_outcome(codec, value) for codec in (fast, general)]
        assert outcomes[0] == outcomes[1]
        assert type(outcomes[0]) is type(outcomes[1])

    @given(st.sampled_from([int, str, bool, float]), st.text() | anything.map(str))
    @example(float, "NaN")
    @example(int, "1e3")
    @example(int, "123456789012345678901234567890")
    def test_both_ways_read_the_same_texts(self, kind: type, text: str):
        assert _read(ScalarCodec(kind), text) == _read(PydanticCodec(kind), text)


def _outcome(codec: Codec[Any], value: Any) -> Any:
    try:
        return codec.decode(codec.encode(value))
    except OutputError as error:
        return str(error)


def _read(codec: Codec[Any], text: str) -> str:
    try:
        return repr(codec.decode(text))  # pydantic reads NaN, which is not equal to itself
    except CodecError as error:
        return str(error)


class TestDecode:
    def test_every_place_that_does_not_fit_is_named(self):
        with pytest.raises(CodecError) as caught:
            codec_for(list[Review]).decode('[{"agrees":true},{"agrees":3,"notes":[1]}]')
        paths = [problem.path for problem in caught.value.problems]
        assert paths == ["$[1].agrees", "$[1].notes[0]"]
        assert str(caught.value).startswith("not a list[Review]: $[1].agrees: ")

    @pytest.mark.parametrize("annotation", [int, Review, Struct])
    @pytest.mark.parametrize("text", ["", "{", "[1,]", '"\ud800"'])
    def test_a_text_that_is_no_json_is_refused(self, annotation: Any, text: str):
        with pytest.raises(CodecError):
            codec_for(annotation).decode(text)

    def test_a_struct_names_its_place(self):
        with pytest.raises(CodecError) as caught:
            codec_for(list[Struct]).decode('[{"n":"x"}]')
        assert caught.value.problems[0].path == "$[0].n"


class TestCodecFor:
    def test_a_type_has_one_codec(self):
        assert codec_for(list[Review]) is codec_for(list[Review])

    def test_unions_of_another_order_are_told_apart(self):
        assert codec_for(Cat | Dog) is not codec_for(Dog | Cat)

    def test_metadata_without_a_hash_is_fine(self):
        assert codec_for(Annotated[int, Field(gt=3, json_schema_extra={"a": 1})]).encode(4) == "4"

    @pytest.mark.parametrize(
        ("annotation", "accepts"),
        [(int, False), (int | None, True), (None, True), (Any, True), (list[None], False)],
    )
    def test_it_knows_whether_none_is_a_value(self, annotation: Any, *, accepts: bool):
        assert codec_for(annotation).accepts_none is accepts

    def test_it_has_a_json_schema(self):
        assert codec_for(int).schema() == {"type": "integer"}
        assert codec_for(Review).schema()["required"] == ["agrees"]
        assert "$ref" in codec_for(Struct).schema()

    @pytest.mark.parametrize(
        "annotation",
        [
            Callable[[int], int],
            type("Opaque", (), {}),
            Mapping[str, type("Opaque", (), {})],  # type: ignore[misc]
            Iterator[int],
        ],
    )
    def test_a_type_without_json_is_refused_with_advice(self, annotation: Any):
        with pytest.raises(TypeNotStorableError, match="return the parts you need"):
            codec_for(annotation)

    @pytest.mark.skipif(sys.version_info >= (3, 12), reason="any TypedDict is fine there")
    def test_a_typed_dict_of_typing_says_where_to_import_it_from(self):
        with pytest.raises(TypeNotStorableError, match="typing_extensions"):
            codec_for(typing.TypedDict("Old", {"a": int}))
