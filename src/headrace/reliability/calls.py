"""The call of a function that is to be done once: its name, its input, what it returns."""

from __future__ import annotations

import hashlib
import inspect
import json
import typing
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headrace.errors import DefinitionError, InputError, OutputError, Problem
from headrace.model.context import Transaction
from headrace.model.site import Site
from headrace.model.storable import storable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from headrace.model.codec import Codec


@dataclass(frozen=True, slots=True)
class Call:
    """What is to be done.

    Attributes:
        operation: Its name: that of the function, as `Bank.pay`.
        input_hash: SHA-256 of the stored form of what it is called with.
        codec: Of what it returns.
        transactional: Whether it asks for a transaction first.
    """

    operation: str
    input_hash: bytes
    codec: Codec[Any]
    transactional: bool


def read_call(
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    operation: str | None = None,
) -> Call:
    """Read a call, and bind it to its input.

    Args:
        fn: With annotations: of all that is passed, and of what comes back.
        args: As it will be called.
        kwargs: As it will be called.
        operation: Its name; that of the function if left out.

    Raises:
        DefinitionError: An annotation is missing, or names what has no JSON form.
        InputError: An argument does not fit its annotation.
        TypeError: The function does not take these arguments.
    """
    site = Site(f"idempotent(..., {_name_of(fn)})")
    hints = _hints_of(fn, site)
    if "return" not in hints:
        raise site.error(
            "RETURN_MISSING",
            "it has no return annotation: write `-> None` if nothing is kept",
        )
    codec = storable(hints["return"], site, "the output")
    signature = inspect.signature(fn)
    first = next(iter(signature.parameters), "")
    transactional = hints.get(first) is Transaction
    if transactional:
        parameters = list(signature.parameters.values())[1:]
        signature = signature.replace(parameters=parameters)
    # What is left out is no part of the input: a new parameter with a default changes no key.
    bound = signature.bind(*args, **kwargs)
    stored = {
        name: _stored(signature.parameters[name], value, hints, site)
        for name, value in bound.arguments.items()
    }
    text = json.dumps(stored, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).digest()
    return Call(operation or _name_of(fn), digest, codec, transactional)


def _name_of(fn: Callable[..., Any]) -> str:
    """A function's name with that of its class, without that of a function around it."""
    name: str = getattr(fn, "__qualname__", type(fn).__qualname__)
    return name.rpartition("<locals>.")[2]


def _hints_of(fn: Callable[..., Any], site: Site) -> dict[str, Any]:
    try:
        return typing.get_type_hints(fn)
    except (NameError, TypeError) as error:
        raise site.error(
            "ANNOTATION_UNKNOWN", f"its annotations cannot be read: {error}"
        ) from error


def _stored(parameter: inspect.Parameter, value: Any, hints: Mapping[str, Any], site: Site) -> Any:  # noqa: ANN401 - JSON
    name = parameter.name
    if name not in hints:
        raise site.error(
            "ANNOTATION_MISSING",
            f"parameter `{name}` has no annotation, by which its value would be compared",
        )
    try:
        codec = storable(hints[name], site, f"parameter `{name}`")
    except DefinitionError as error:
        raise site.error(
            error.code,
            f"{error.problem}. What is passed is the operation's input, and is compared: hand over "
            "a client by its bound method, as `bank.pay`",
        ) from None
    try:
        if parameter.kind is parameter.VAR_POSITIONAL:
            return [_json(codec, one) for one in value]
        if parameter.kind is parameter.VAR_KEYWORD:
            return {key: _json(codec, one) for key, one in value.items()}
        return _json(codec, value)
    except OutputError as error:
        problem = Problem(f"$.{name}{error.path[1:]}", error.reason)
        raise InputError(site.where, [problem]) from error


def _json(codec: Codec[Any], value: Any) -> Any:  # noqa: ANN401 - any value, and JSON
    written = json.loads(codec.encode(value))
    if isinstance(value, AbstractSet):  # its order differs between processes
        return sorted(written, key=lambda one: json.dumps(one, sort_keys=True))
    return written
