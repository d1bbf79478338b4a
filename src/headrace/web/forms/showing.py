"""What a page shows of a form: each field with what was typed and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from headrace.web.forms.field import MISSING, Choice, Field, Kind
from headrace.web.forms.reading import ON, Posted

MOST_RADIOS: Final = 6
"""Choices that are all seen at once; more are a list to pick from."""
LIST_ROWS: Final = 4
JSON_ROWS: Final = 5
AREA_ROWS: Final = 2


@dataclass(frozen=True, slots=True)
class Option:
    """A choice, and whether it is chosen."""

    id: str
    sent: str
    label: str
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class Shown:
    """One field of a page.

    Attributes:
        control: Which macro of the template shows it.
        described: Ids of what says more on the field.
    """

    control: str
    id: str
    name: str
    label: str
    help: str
    hint: str
    error: str
    is_optional: bool
    text: str
    rows: int
    options: tuple[Option, ...]
    fields: tuple[Shown, ...]
    attributes: Mapping[str, str]
    switch: str | None
    is_on: bool
    described: str

    def faults(self) -> Iterator[Shown]:
        """The fields that something is wrong with, from the top of the page on."""
        if self.error:
            yield self
        for one in self.fields:
            yield from one.faults()

    @property
    def target(self) -> str:
        """The id of what a person goes to who wants to put it right."""
        return self.options[0].id if self.control in {"radios", "boxes"} else self.id


def show(field: Field, posted: Posted, problems: Mapping[str, str], number: str = "f") -> Shown:
    """A field as a page shows it.

    Args:
        field: The form, or a part of it.
        posted: What was typed, or what stands there at first.
        problems: By the name of the field.
        number: Its id on the page.
    """
    texts = posted.get(field.name, ())
    control = _control(field)
    error = problems.get(field.name, "")
    said = {"help": field.help, "hint": field.hint, "error": error}
    return Shown(
        control=control,
        id=number,
        name=field.name,
        label=field.label,
        help=field.help,
        hint=field.hint,
        error=error,
        is_optional=_is_optional(field),
        text=texts[0] if texts else "",
        rows={"json": JSON_ROWS, "list": LIST_ROWS}.get(field.kind, AREA_ROWS),
        options=tuple(_options(field, texts, number)),
        fields=tuple(
            show(one, posted, problems, f"{number}-{place}")
            for place, one in enumerate(field.fields)
        ),
        attributes=field.attributes,
        switch=field.switch,
        is_on=field.switch is not None and bool(posted.get(field.switch)),
        described=" ".join(f"{number}-{part}" for part, text in said.items() if text),
    )


def _control(field: Field) -> str:
    match field.kind:
        case Kind.CHOICE:
            return "radios" if len(field.choices) <= MOST_RADIOS else "select"
        case Kind.YES_NO:
            return "radios"
        case Kind.SEVERAL:
            return "boxes"
        case Kind.TICK | Kind.GROUP | Kind.FIXED:
            return field.kind.value
        case Kind.AREA | Kind.LIST | Kind.JSON:
            return "area"
    return "input"


def _is_optional(field: Field) -> bool:
    if field.kind in {Kind.GROUP, Kind.TICK, Kind.FIXED}:
        return False
    if field.kind in {Kind.SEVERAL, Kind.LIST}:
        return field.nullable or field.default is not MISSING or not field.required
    return field.nullable or (not field.required and field.default in (MISSING, "", None))


def _options(field: Field, texts: Sequence[str], number: str) -> Iterator[Option]:
    choices: Sequence[Choice] = field.choices
    if field.kind is Kind.YES_NO:
        choices = (Choice(True, "true", "Yes"), Choice(False, "false", "No"))  # noqa: FBT003
    if field.kind is Kind.TICK:
        choices = (Choice(True, ON, field.label),)  # noqa: FBT003
    if _control(field) == "radios" and field.nullable:
        choices = (*choices, Choice(None, "", "No answer"))
    for place, one in enumerate(choices):
        is_chosen = one.sent in texts or (one.value is None and not one.sent and not any(texts))
        yield Option(f"{number}-{place}", one.sent, one.label, is_chosen)
