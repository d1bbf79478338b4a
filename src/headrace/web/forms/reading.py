"""From what a form sends to the value that it stands for, and from a value to a form that says it.

What is read is JSON by its shape; whether it is a value of the type, the codec says. Only what the
form asks for is looked at, so nobody adds a member by sending more.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from headrace.client.strict import NotStrictError, load_strict
from headrace.web.forms.field import MISSING, Choice, Field, Kind

Posted = Mapping[str, Sequence[str]]
"""Texts by the name of their control."""

ON: Final = "on"
"""What a box sends that is ticked."""
YES: Final = "true"
NO: Final = "false"
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,20}", re.ASCII)
_NUMBER: Final = re.compile(
    r"[+-]?(?:[0-9]{1,400}(?:\.[0-9]{0,400})?|\.[0-9]{1,400})(?:[eE][+-]?[0-9]{1,3})?", re.ASCII
)
_COMMA: Final = re.compile(r"[+-]?[0-9]{1,20},(?:[0-9]{1,2}|[0-9]{4,20})", re.ASCII)
"""A fraction as half of Europe writes it; before three digits it may also part thousands."""
_ZONED: Final = re.compile(r"(?:[zZ]|[+-][0-9]{2}:?[0-9]{2})$")
_TO_THE_MINUTE: Final = re.compile(r"T[0-9]{2}:[0-9]{2}$")


class Refused(ValueError):  # noqa: N818 - one text of one field, never seen outside
    """A text is not what its field takes; the message is for the person who typed it."""


class Answer:
    """What a form said.

    Attributes:
        value: As JSON; what could not be read is left out.
        problems: What could not be read, by the name of its field.
    """

    def __init__(self, form: Field, posted: Posted, *, naive: Collection[str] = ()) -> None:
        """Read all fields.

        Args:
            form: What was asked for.
            posted: What was sent.
            naive: The names of the moments that are without a zone; others are in UTC.
        """
        self._posted, self._naive = posted, naive
        self.problems: dict[str, str] = {}
        found = self._read(form)
        self.value: Any = None if found is MISSING else found

    def text(self) -> bytes:
        """The value as JSON.

        Raises:
            NotStrictError: The API would not take it in a body either.
        """
        data = json.dumps(self.value, ensure_ascii=False).encode("utf-8", "surrogatepass")
        load_strict(data)
        return data

    def _read(self, field: Field) -> Any:  # noqa: ANN401 - JSON
        if field.kind is Kind.GROUP:
            return self._group(field)
        if field.kind is Kind.FIXED:
            return field.choices[0].value
        try:
            return self._control(field, self._posted.get(field.name, ()))
        except Refused as error:
            self.problems[field.name] = str(error)
            return MISSING

    def _group(self, field: Field) -> Any:  # noqa: ANN401 - JSON
        if field.switch is not None and not self._posted.get(field.switch):
            return None if field.nullable else MISSING
        values = {one.key: self._read(one) for one in field.fields}
        return {key: value for key, value in values.items() if value is not MISSING}

    def _control(self, field: Field, texts: Sequence[str]) -> Any:  # noqa: ANN401 - JSON
        if field.kind is Kind.TICK:
            return self._tick(field, texts)
        if field.kind is Kind.SEVERAL:
            for text in texts:
                _chosen(field.choices, text)
            values = [one.value for one in field.choices if one.sent in texts]
            return None if field.nullable and not values else values
        text = texts[0].replace("\r\n", "\n").replace("\r", "\n") if texts else ""
        if field.kind is Kind.LIST:
            return self._lines(field, text)
        if not text.strip() and not (text and field.kind is Kind.AREA):
            return _nothing(field)
        return self._one(field, text)

    def _tick(self, field: Field, texts: Sequence[str]) -> bool:
        if field.required and not texts:
            raise Refused("Tick this box to confirm.")
        return bool(texts)

    def _lines(self, field: Field, text: str) -> Any:  # noqa: ANN401 - JSON
        lines = [line for line in text.split("\n") if line.strip()]
        if not lines and field.nullable:
            return None
        item = field.item or field
        values = []
        for number, line in enumerate(lines, 1):
            try:
                values.append(self._one(item, line))
            except Refused as error:
                raise Refused(f"Line {number}: {error}") from None
        return values

    def _one(self, field: Field, text: str) -> Any:  # noqa: ANN401, PLR0911 - one for each kind
        match field.kind:
            case Kind.INTEGER:
                return _whole(text)
            case Kind.NUMBER:
                return _number(text)
            case Kind.LOOSE:
                return _loose(text, is_decimal="inputmode" in field.attributes)
            case Kind.CHOICE:
                return _chosen(field.choices, text)
            case Kind.YES_NO:
                return _chosen((Choice(True, YES, ""), Choice(False, NO, "")), text)  # noqa: FBT003
            case Kind.MOMENT:
                return self._moment(field, text.strip())
            case Kind.DATE | Kind.TIME:
                return text.strip()
            case Kind.JSON:
                return _json(text)
        return text

    def _moment(self, field: Field, text: str) -> str:
        if _TO_THE_MINUTE.search(text):
            text += ":00"  # browsers leave the seconds out, RFC 3339 does not
        return text if _ZONED.search(text) or field.name in self._naive else f"{text}Z"


def posted_of(field: Field, value: Any = MISSING) -> dict[str, list[str]]:  # noqa: ANN401 - JSON
    """What a form would send that says this value; of none, what it shows at first.

    Args:
        field: The form.
        value: As JSON. Members that are missing get their defaults.
    """
    return dict(_posted(field, field.default if value is MISSING else value))


def _posted(field: Field, value: Any) -> Iterator[tuple[str, list[str]]]:  # noqa: ANN401 - JSON
    if field.kind is Kind.GROUP:
        members = value if isinstance(value, dict) else {}
        if field.switch is not None and isinstance(value, dict):
            yield field.switch, [ON]
        for one in field.fields:
            yield from _posted(one, members.get(one.key, one.default))
        return
    if field.kind is Kind.TICK:
        texts = [ON] if value is True and not field.required else []
    elif field.kind is Kind.SEVERAL:
        texts = [_sent(field.choices, one) for one in value] if isinstance(value, list) else []
    elif value is MISSING or value is None:
        texts = []
    else:
        texts = [_text(field, value)]
    if texts:
        yield field.name, texts


def _text(field: Field, value: Any) -> str:  # noqa: ANN401 - JSON
    match field.kind:
        case Kind.CHOICE:
            return _sent(field.choices, value)
        case Kind.YES_NO:
            return YES if value else NO
        case Kind.LIST:
            item = field.item or field
            return "\n".join(_text(item, one) for one in value)
        case Kind.JSON:
            return json.dumps(value, ensure_ascii=False, indent=2)
        case Kind.MOMENT:
            return _in_utc(str(value))
    return value if isinstance(value, str) else json.dumps(value)


def _sent(choices: Sequence[Choice], value: object) -> str:
    same = (one.sent for one in choices if one.value == value and type(one.value) is type(value))
    return next(same, "")


def _in_utc(text: str) -> str:
    """As a control for a moment shows it: of UTC, without saying so."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return moment.isoformat()


def _nothing(field: Field) -> Any:  # noqa: ANN401 - JSON
    """What it means that a field is left empty."""
    if field.nullable:
        return None
    if field.kind in {Kind.TEXT, Kind.AREA} and isinstance(field.default, str):
        return ""  # there was a text, and somebody took it away
    if not field.required:
        return MISSING
    is_choice = field.kind in {Kind.CHOICE, Kind.YES_NO}
    raise Refused("Choose one of these." if is_choice else "Fill this in.")


def _chosen(choices: Sequence[Choice], text: str) -> Any:  # noqa: ANN401 - JSON
    for one in choices:
        if one.sent == text:
            return one.value
    raise Refused("Choose one of these.")


def _whole(text: str) -> int:
    if not _WHOLE.fullmatch(text.strip()):
        raise Refused("Enter a whole number, in digits.")
    return int(text)


def _number(text: str) -> float:
    text = text.strip()
    if _COMMA.fullmatch(text):
        text = text.replace(",", ".")
    if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
        raise Refused("Enter a number, as 12.5.")
    return int(text) if _WHOLE.fullmatch(text) else float(text)


def _loose(text: str, *, is_decimal: bool) -> float | str:
    """A number, if the text is how one is written: of `007`, `+49` or `1.50` nothing is lost."""
    try:
        number = _number(text)
    except Refused:
        return text
    shown = text.strip()
    if is_decimal:
        text = shown = shown.replace(",", ".")
    return number if json.dumps(number) == shown else text


def _json(text: str) -> Any:  # noqa: ANN401 - JSON
    try:
        return load_strict(text.encode("utf-8", "surrogatepass"))
    except NotStrictError as error:
        raise Refused(f"This is not taken: {error.reason}.") from None
