"""A type and its stored JSON: one codec per type, built when a pipeline is defined.

What goes in comes back equal, or is refused with the path that differs: subclass fields, aliases,
look-alike unions, NaN and values inside `Any` are never changed silently.
"""

from __future__ import annotations

import importlib
import math
import sys
from abc import ABC, abstractmethod
from typing import Any, Final, Generic, TypeVar

import orjson

from headrace.errors import InvalidError
from headrace.model.annotations import Annotation, accepts_none, parts, plain, type_text

T = TypeVar("T")


class Codec(ABC, Generic[T]):
    """Writes and reads values of one type.

    Attributes:
        annotation: The type.
        type_name: The type as it is written in code, for texts.
        accepts_none: Whether None is a value of the type.
    """

    __slots__ = ("accepts_none", "annotation", "type_name")

    def __init__(self, annotation: object) -> None:
        self.annotation = annotation
        self.type_name = type_text(annotation)
        self.accepts_none = accepts_none(annotation)

    @abstractmethod
    def encode(self, value: T) -> str:
        """The value as JSON text that PostgreSQL stores in a column of type `json`.

        Raises:
            OutputError: The value has no JSON form or would not come back equal; it names the path.
        """

    @abstractmethod
    def decode(self, text: str) -> T:
        """The value of a JSON text.

        Raises:
            CodecError: The text is not a value of the type; it names every path.
        """

    @abstractmethod
    def schema(self) -> dict[str, Any]:
        """The JSON schema of the texts that `decode` accepts."""

    def __repr__(self) -> str:
        return f"<Codec of {self.type_name}>"


class TypeNotStorableError(InvalidError):
    """No codec can be built for a type; `reason` says why and what can be done."""

    code = "type_not_storable"

    def __init__(self, type_name: str, reason: str) -> None:
        super().__init__(type_name, reason)
        self.type_name, self.reason = type_name, reason

    def __str__(self) -> str:
        return f"{self.type_name} has no JSON form: {self.reason}"


class ScalarCodec(Codec[T]):
    """int, str, bool, float and None, without pydantic for values of exactly that type.

    Everything else (a subclass, a number beyond 64 bits, a value of another type) goes the general
    way, and so do errors; a test holds that both ways agree. Measured with timeit on 2 shared
    cores: 0.10 us (int) to 0.13 us (float) to encode, 0.09 us to 0.11 us to decode.
    """

    __slots__ = ("_exact", "_general")

    def __init__(self, annotation: type[T]) -> None:
        super().__init__(annotation)
        self._exact = annotation
        self._general: Codec[T] | None = None

    def encode(self, value: T) -> str:
        """As `Codec.encode`."""
        if type(value) is self._exact and not (self._exact is float and not math.isfinite(value)):  # type: ignore[arg-type]
            try:
                return orjson.dumps(value).decode()
            except TypeError:  # an int beyond 64 bits, a str with a lone surrogate
                pass
        return self._twin().encode(value)

    def decode(self, text: str) -> T:
        """As `Codec.decode`."""
        try:
            value = orjson.loads(text)
        except ValueError:
            return self._twin().decode(text)
        # orjson reads an int beyond 64 bits as a float, so only the exact type is taken from it
        return value if type(value) is self._exact else self._twin().decode(text)

    def schema(self) -> dict[str, Any]:
        """As `Codec.schema`."""
        return self._twin().schema()

    def _twin(self) -> Codec[T]:
        if self._general is None:
            self._general = _pydantic_codec(self.annotation)
        return self._general


_SCALARS: Final = frozenset({int, str, bool, float, type(None)})
_codecs: Final[dict[tuple[object, str], Codec[Any]]] = {}


def codec_for(annotation: Annotation) -> Codec[Any]:
    """The codec of a type; the same object each time.

    Raises:
        TypeNotStorableError: The type has no JSON form.
    """
    # Unions of another order are equal, but not the same to pydantic: their text tells them apart.
    key = (annotation, repr(annotation))
    try:
        known = _codecs.get(key)
    except TypeError:  # metadata in `Annotated` that cannot be hashed
        return _build(annotation)
    return known if known is not None else _codecs.setdefault(key, _build(annotation))


def _build(annotation: Annotation) -> Codec[Any]:
    if annotation is None:
        annotation = type(None)
    if isinstance(annotation, type) and annotation in _SCALARS:
        return ScalarCodec(annotation)
    if _holds_struct(annotation):
        module = importlib.import_module("headrace.model.codec_msgspec")
        codec: Codec[Any] = module.StructCodec(annotation)
        return codec
    return _pydantic_codec(annotation)


def _pydantic_codec(annotation: object) -> Codec[Any]:
    # By name: importing pydantic takes 0.2 s, which `import headrace` does not have.
    module = importlib.import_module("headrace.model.codec_pydantic")
    codec: Codec[Any] = module.PydanticCodec(annotation)
    return codec


def _holds_struct(annotation: object) -> bool:
    """Whether the type is made of msgspec Structs, which pydantic cannot read."""
    msgspec = sys.modules.get("msgspec")
    return msgspec is not None and any(
        isinstance(plain(part), type) and issubclass(plain(part), msgspec.Struct)
        for part in parts(annotation)
    )
