"""From a JSON schema to the fields of a form: pure, and never without an answer.

What has no field of its own (maps, unions of objects, lists of objects, anything) is asked for as
JSON, so that every value can be given.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from headrace.model.codec_pydantic import path_of
from headrace.web.forms.field import MISSING, Choice, Field, Kind

Schema = Mapping[str, Any]

DEEPEST: Final = 4
"""Groups in groups; what is deeper is asked for as JSON."""
DEEPEST_LIST: Final = 8
"""The same, of lists and unions in each other or in groups."""
MOST_FIELDS: Final = 100
MOST_LOOKS: Final = 5_000
"""Parts of a schema that are looked at: one that names itself often has millions."""
MOST_CHOICES: Final = 200
SHORT: Final = 200
"""Characters of a text that stands in one line."""
_SCALARS: Final = frozenset(
    {Kind.TEXT, Kind.AREA, Kind.NUMBER, Kind.INTEGER, Kind.LOOSE, Kind.DATE}
)
"""What a line of a list may be."""
# Not of type "number": browsers send nothing at all in place of what they do not take for one.
WHOLE: Final = MappingProxyType({"type": "text", "inputmode": "numeric"})
DECIMAL: Final = MappingProxyType({"type": "text", "inputmode": "decimal"})
_BY_FORMAT: Final[Mapping[str, tuple[Kind, Mapping[str, str], str]]] = {
    "date": (Kind.DATE, {"type": "date"}, ""),
    "time": (Kind.TIME, {"type": "time", "step": "any"}, ""),
    "date-time": (Kind.MOMENT, {"type": "datetime-local", "step": "any"}, "The time is in UTC."),
    "email": (Kind.TEXT, {"type": "email", "autocomplete": "email"}, ""),
    "uri": (Kind.TEXT, {"type": "url"}, ""),
    "duration": (
        Kind.TEXT,
        {"type": "text"},
        "For example P3D for three days, PT1H30M for 1:30 h.",
    ),
    "uuid": (Kind.TEXT, {"type": "text", "spellcheck": "false"}, ""),
}


def make_form(schema: Schema, name: str) -> Field:
    """The form of a value.

    Args:
        schema: Of the value, as a codec gives it.
        name: What the value is called, as `approval`.

    Returns:
        A group for an object, else one field; its path is `$`.
    """
    maker = _Maker(schema.get("$defs", {}))
    form = replace(maker.make(schema, "$", name, depth=0), label=pretty(name))
    if maker.looks > MOST_LOOKS or sum(1 for _ in form.walk()) > MOST_FIELDS:
        return maker.as_json(schema, "$", name)
    return _named(form, "$")


def pretty(name: str) -> str:
    """A name of a program as words: `ship_by` is `Ship by`."""
    words = " ".join(name.replace("_", " ").split())
    return words[:1].upper() + words[1:]


def _named(field: Field, name: str) -> Field:
    """A field with names for all its controls, whatever the members are called."""
    fields = (_named(one, f"{name}.{_escaped(one.key)}") for one in field.fields)
    return replace(field, name=name, fields=tuple(fields))


def _escaped(key: str) -> str:
    for character in "%.?":  # the two that have a meaning in names, and the one that escapes
        key = key.replace(character, f"%{ord(character):02x}")
    return key


class _Maker:
    """Makes fields; `definitions` are what `$ref` names."""

    def __init__(self, definitions: Mapping[str, Schema]) -> None:
        self._definitions = definitions
        self.looks = 0

    def make(self, schema: Schema, path: str, key: str, *, depth: int) -> Field:
        """The field of a schema, required and without what its object says of it."""
        plain, nullable = self._plain(schema)
        made = self._make(plain, path, key, depth) or self.as_json(plain, path, key)
        if made.kind is Kind.FIXED and nullable:
            made = replace(made, kind=Kind.CHOICE)  # that value, or none
        return replace(
            made,
            key=key,
            label=_label(schema, key),
            help=_text(schema, "description") or (made.help if made.kind is not Kind.GROUP else ""),
            nullable=nullable,
            default=schema.get("default", MISSING),
        )

    def as_json(self, schema: Schema, path: str, key: str) -> Field:
        """For what has no field of its own."""
        return Field(
            Kind.JSON,
            path,
            key=key,
            label=_label(schema, key),
            help=_text(schema, "description"),
            hint="As JSON.",
        )

    def _plain(self, schema: Schema) -> tuple[Schema, bool]:
        """A schema without references and null, and whether it had null."""
        nullable = False
        for _ in range(DEEPEST + len(self._definitions)):  # a chain of references ends
            told = {name: schema[name] for name in ("title", "description") if name in schema}
            options = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
            others = [one for one in options if one.get("type") != "null"]
            if "$ref" in schema:
                name = str(schema["$ref"]).rpartition("/")[2]
                schema = self._definitions.get(name.replace("~1", "/").replace("~0", "~"), {})
            elif len(options) > len(others) and others:
                nullable = True
                rest = {name: schema[name] for name in schema if name not in {"anyOf", "oneOf"}}
                schema = others[0] if len(others) == 1 else {**rest, "anyOf": others}
                schema = {**schema, **told}
            elif len(schema.get("allOf", ())) == 1:
                schema = schema["allOf"][0]
            else:
                break
        return schema, nullable

    def _make(self, schema: Schema, path: str, key: str, depth: int) -> Field | None:
        self.looks += 1
        if "const" in schema or "enum" in schema:
            return _choice(schema.get("enum", [schema.get("const")]), path)
        if depth > DEEPEST_LIST or self.looks > MOST_LOOKS:
            return _scalar(schema, path)
        if "anyOf" in schema or "oneOf" in schema:
            return self._union(schema, path, key, depth)
        kind = schema.get("type")
        if kind == "object":
            return self._group(schema, path, depth)
        if kind == "array":
            return self._array(schema, path, depth)
        return _scalar(schema, path)

    def _group(self, schema: Schema, path: str, depth: int) -> Field | None:
        members: Mapping[str, Schema] = schema.get("properties", {})
        more = schema.get("additionalProperties")
        if depth >= DEEPEST or (not members and more is not False and "properties" not in schema):
            return None
        required = frozenset(schema.get("required", ()))
        fields = tuple(
            self._member(member, path + path_of([name])[1:], name, name in required, depth + 1)
            for name, member in members.items()
        )
        return Field(Kind.GROUP, path, help=_text(schema, "description"), fields=fields)

    def _member(self, schema: Schema, path: str, key: str, required: bool, depth: int) -> Field:  # noqa: FBT001
        made = self.make(schema, path, key, depth=depth)
        required = required and not made.nullable
        if made.kind is Kind.YES_NO and isinstance(made.default, bool) and not made.nullable:
            return replace(made, kind=Kind.TICK, required=False)
        if made.kind is Kind.FIXED and made.choices[0].value is True and required:
            return replace(made, kind=Kind.TICK, required=True)  # to be confirmed
        return replace(made, required=required)

    def _array(self, schema: Schema, path: str, depth: int) -> Field | None:
        if "prefixItems" in schema or not isinstance(schema.get("items"), Mapping):
            return None
        item = self.make(schema["items"], path, "", depth=depth + 1)
        if item.nullable or item.kind not in {*_SCALARS, Kind.CHOICE}:
            return None
        if item.kind is Kind.CHOICE:
            if not schema.get("uniqueItems") and schema.get("minItems", 0) > len(item.choices):
                return None  # some would have to be said twice
            return Field(Kind.SEVERAL, path, hint=_many(schema), choices=item.choices)
        hint = " ".join(filter(None, ["One a line.", _many(schema), item.hint]))
        return Field(Kind.LIST, path, hint=hint, item=item)

    def _union(self, schema: Schema, path: str, key: str, depth: int) -> Field | None:
        options = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
        made = [self._make(self._plain(one)[0], path, key, depth + 1) for one in options]
        choices = [_choices_of(one) for one in made]
        if all(choices):  # constants and enums of different kinds
            return _choice([one.value for part in choices for one in part], path)
        kinds = {one.kind if one is not None else Kind.JSON for one in made}
        numbers = {Kind.NUMBER, Kind.INTEGER}
        if kinds <= numbers:
            return Field(Kind.NUMBER, path, attributes=DECIMAL)
        if kinds <= {*numbers, Kind.TEXT, Kind.AREA}:
            is_decimal = [one.get("type") for one in options] == ["number", "string"]
            hint = _bounds(options[0]) if is_decimal else ""
            attributes = (
                {"type": "text", "inputmode": "decimal"} if is_decimal else {"type": "text"}
            )
            return Field(Kind.LOOSE, path, hint=hint, attributes=attributes)
        return None


def _choices_of(made: Field | None) -> tuple[Choice, ...]:
    return made.choices if made is not None and made.kind in {Kind.CHOICE, Kind.FIXED} else ()


def _scalar(schema: Schema, path: str) -> Field | None:
    match schema.get("type"):
        case "string":
            return _string(schema, path)
        case "integer" | "number":
            return _number(schema, path)
        case "boolean":
            return Field(Kind.YES_NO, path)
        case "null":
            return _fixed(None, path)
    return None


def _fixed(value: object, path: str) -> Field:
    return Field(Kind.FIXED, path, choices=(_one_of(value, plain=False),))


def _choice(values: list[Any], path: str) -> Field | None:
    if len(values) > MOST_CHOICES or not values:
        return None
    if len(values) == 1:
        return _fixed(values[0], path)
    plain = all(isinstance(value, str) and value.strip() for value in values)
    choices = tuple(_one_of(value, plain=plain) for value in values)
    labels = [one.label for one in choices]
    if len(set(labels)) < len(labels):
        choices = tuple(replace(one, label=one.sent) for one in choices)
    return Field(Kind.CHOICE, path, choices=choices)


def _one_of(value: object, *, plain: bool) -> Choice:
    """As JSON is it sent, where it is not a text among texts: `1` and `"1"` are two.

    So is a text without any letters, which would be sent as no answer is.
    """
    sent = str(value) if plain else json.dumps(value, ensure_ascii=False)
    label = pretty(value) or "Empty" if isinstance(value, str) else sent
    return Choice(
        value,
        sent,
        {True: "Yes", False: "No", None: "Nothing"}.get(value, label)
        if value is None or isinstance(value, bool)
        else label,
    )


def _string(schema: Schema, path: str) -> Field:
    form = schema.get("format")
    if isinstance(form, str) and form in _BY_FORMAT:
        kind, attributes, hint = _BY_FORMAT[form]
        return Field(kind, path, hint=hint, attributes=attributes)
    most, least = schema.get("maxLength"), schema.get("minLength", 0)
    hint = f"At most {most:,} characters." if isinstance(most, int) else ""
    if least > 1:
        hint = f"{least:,} to {most:,} characters." if hint else f"At least {least:,} characters."
    if "pattern" in schema or form == "password" or (isinstance(most, int) and most <= SHORT):
        shown = "password" if form == "password" else "text"
        return Field(Kind.TEXT, path, hint=hint, attributes={"type": shown})
    return Field(Kind.AREA, path, hint=hint)


def _number(schema: Schema, path: str) -> Field:
    is_whole = schema["type"] == "integer"
    return Field(
        Kind.INTEGER if is_whole else Kind.NUMBER,
        path,
        hint=_bounds(schema),
        attributes=WHOLE if is_whole else DECIMAL,
    )


def _bounds(schema: Schema) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    parts = list(_bound_texts(schema, least, most))
    text = ", ".join(parts)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _bound_texts(schema: Schema, least: object, most: object) -> Iterator[str]:
    if least is not None and most is not None:
        yield f"{_plainly(least)} to {_plainly(most)}"
    elif least is not None:
        yield f"at least {_plainly(least)}"
    elif most is not None:
        yield f"at most {_plainly(most)}"
    if "exclusiveMinimum" in schema:
        yield f"more than {_plainly(schema['exclusiveMinimum'])}"
    if "exclusiveMaximum" in schema:
        yield f"less than {_plainly(schema['exclusiveMaximum'])}"
    if "multipleOf" in schema:
        yield f"a multiple of {_plainly(schema['multipleOf'])}"


def _plainly(number: object) -> str:
    """Without a fraction that is none: bounds of decimals are written as `100.0`."""
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    return f"{number:,}" if isinstance(number, int) else str(number)


def _many(schema: Schema) -> str:
    least, most = schema.get("minItems"), schema.get("maxItems")
    if least and most:
        return f"Exactly {least}." if least == most else f"{least} to {most} of them."
    if least:
        return f"At least {least}."
    return f"At most {most}." if most else ""


def _label(schema: Schema, key: str) -> str:
    title = _text(schema, "title")
    # What pydantic makes of a name is a title in capitals; a sentence reads better.
    is_made = title.lower() == key.replace("_", " ").strip().lower()
    return pretty(key) if is_made or not title or "properties" in schema else title


def _text(schema: Schema, name: str) -> str:
    value = schema.get(name)
    return value.strip() if isinstance(value, str) else ""
