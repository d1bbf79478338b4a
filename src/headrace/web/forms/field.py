"""What a form asks for: a tree of fields, as pages show them and as answers are read by them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final


class Kind(StrEnum):
    """How a field is shown and read."""

    TEXT = "text"
    AREA = "area"
    NUMBER = "number"
    INTEGER = "integer"
    LOOSE = "loose"
    """A number where the text is one, else the text."""
    CHOICE = "choice"
    SEVERAL = "several"
    YES_NO = "yes_no"
    TICK = "tick"
    DATE = "date"
    TIME = "time"
    MOMENT = "moment"
    LIST = "list"
    """Lines, each a value."""
    GROUP = "group"
    JSON = "json"
    FIXED = "fixed"
    """The one value that there may be; nobody is asked."""


class Missing:
    """The type of `MISSING`."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing()
"""No value, and no default."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several values.

    Attributes:
        value: As JSON has it.
        sent: How a form sends it.
        label: How a person reads it.
    """

    value: Any
    sent: str
    label: str


@dataclass(frozen=True, slots=True)
class Field:
    """One thing that is asked for.

    Attributes:
        path: Where it is in the value, as errors name it: `$.address.street`.
        name: That of its control in the form, of no other one.
        key: Its name in the object that it is a part of.
        label: For people.
        help: A sentence on it, from the schema; may be empty.
        hint: What is taken, where a person may not guess it.
        required: Whether it has to be filled in.
        nullable: Whether null is a value of it.
        default: As JSON; `MISSING` where there is none.
        choices: Of a choice, or of several.
        fields: Of a group.
        item: How one line of a list is read.
        attributes: Of the control in HTML.
    """

    kind: Kind
    path: str
    name: str = "$"
    key: str = ""
    label: str = ""
    help: str = ""
    hint: str = ""
    required: bool = True
    nullable: bool = False
    default: Any = MISSING
    choices: tuple[Choice, ...] = ()
    fields: tuple[Field, ...] = ()
    item: Field | None = None
    attributes: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def switch(self) -> str | None:
        """The name of the box that says whether a group is there at all; None where it must be."""
        may_lack = self.nullable or not (self.required or isinstance(self.default, dict))
        return f"{self.name}?" if self.kind is Kind.GROUP and may_lack else None

    def walk(self) -> Iterator[Field]:
        """This field and all that are in it."""
        yield self
        for part in self.fields:
            yield from part.walk()


def nearest(form: Field, path: str) -> Field:
    """The innermost field that a path lies in; the form itself if there is none."""
    found = form
    for one in form.walk():
        is_in = path == one.path or path.startswith((f"{one.path}.", f"{one.path}["))
        if is_in and len(one.path) > len(found.path):
            found = one
    return found
