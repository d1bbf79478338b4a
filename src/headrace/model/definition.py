"""Reading a function as a step: its kind, its parameters and its annotations."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from headrace.model.annotations import Annotation
from headrace.model.markers import Spec, spec_of
from headrace.model.site import Site, did_you_mean, site_of

if TYPE_CHECKING:
    from headrace.errors import DefinitionError

MISSING: Final = inspect.Parameter.empty
"""Stands for an annotation that is not written."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a step; `annotation` is `MISSING` where none is written."""

    name: str
    annotation: Annotation
    spec: Spec | None


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a function says about itself."""

    function: Callable[..., object]
    name: str
    site: Site
    is_async: bool
    parameters: tuple[Parameter, ...]
    returns: Annotation


def read_function(owner: str, function: object) -> Declaration:
    """Read a function as a step of the pipeline named `owner`.

    Raises:
        DefinitionError: It is not a plain or async function, its annotations are missing or not
            known at run time, or it has parameters that the engine could not fill.
    """
    site = site_of(owner, function)
    _check_kind(function, site)
    assert callable(function)  # noqa: S101 - for the type checker; checked above
    inner = inspect.unwrap(function)
    hints = _hints_of(inner, site)
    signature = inspect.signature(inner)
    if "return" not in hints:
        raise site.error(
            "RETURN_MISSING",
            "no return annotation; write `-> None` if nothing is stored. "
            "(If the function has one, a decorator below @step needs functools.wraps.)",
        )
    return Declaration(
        function=function,
        name=inner.__name__,
        site=site,
        is_async=inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(inner),
        parameters=tuple(
            _read_parameter(parameter, hints, site) for parameter in signature.parameters.values()
        ),
        returns=hints["return"],
    )


def _check_kind(function: object, site: Site) -> None:
    if isinstance(function, staticmethod | classmethod) or inspect.ismethod(function):
        raise _method_error(site)
    if inspect.isclass(function):
        raise site.error("STEP_KIND", "a class is no step; write a plain or async function")
    if not inspect.isfunction(function):
        kind = type(function).__name__
        raise site.error("STEP_KIND", f"a {kind} is no step; write a plain or async function")
    inner = inspect.unwrap(function)
    if inner.__name__ == "<lambda>":
        raise site.error(
            "STEP_KIND", "a lambda has no name to store its output under; write a function"
        )
    if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
        raise site.error(
            "STEP_KIND", "a generator has no single output; return a list, and use Each on it"
        )
    if "." in inner.__qualname__.rpartition("<locals>.")[2]:
        raise _method_error(site)


def _method_error(site: Site) -> DefinitionError:
    return site.error(
        "STEP_METHOD", "a method is no step; write a function, and ask for the object with Use(...)"
    )


def _hints_of(function: Callable[..., object], site: Site) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        module_names = getattr(function, "__globals__", {})
        raise site.error(
            "ANNOTATION_UNKNOWN",
            f"the name `{error.name}` in {_place_of(error.name, function)} is not known at run "
            "time; import it outside `if TYPE_CHECKING:`, and define it above this function, "
            f"not inside another one{did_you_mean(str(error.name), module_names)}",
        ) from error
    except (AttributeError, SyntaxError, TypeError) as error:
        raise site.error(
            "ANNOTATION_UNKNOWN", f"an annotation cannot be read at run time: {error}"
        ) from error


def _place_of(name: object, function: Callable[..., object]) -> str:
    """The parameter whose annotation, as text, holds the name."""
    annotations = getattr(function, "__annotations__", {})
    for parameter, annotation in annotations.items():
        if isinstance(annotation, str) and str(name) in annotation:
            what = "the return annotation" if parameter == "return" else f"`{parameter}`"
            return f"{what}, {annotation!r},"
    return "an annotation"


def _read_parameter(parameter: inspect.Parameter, hints: dict[str, Any], site: Site) -> Parameter:
    if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}:
        raise site.error(
            "PARAMETER_STAR",
            f"`{str(parameter).partition(':')[0]}` cannot be filled: the engine fills parameters "
            "by name; name each one",
        )
    if parameter.kind is parameter.POSITIONAL_ONLY:
        raise site.error(
            "PARAMETER_STAR",
            f"`{parameter.name}` is positional only, and the engine fills parameters by name; "
            "remove the `/`",
        )
    spec = spec_of(parameter.default)
    if spec is None and parameter.default is not MISSING:
        raise site.error(
            "PARAMETER_DEFAULT",
            f"`{parameter.name}` has a plain default, which nothing would ever replace; remove "
            "it, or write a constant in the function. Defaults may be Each(...), Signal(...) and "
            "Use(...)",
        )
    return Parameter(parameter.name, hints.get(parameter.name, MISSING), spec)
