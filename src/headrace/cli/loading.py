"""Finding the APP: `module:attribute`, given or from pyproject.toml."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from headrace.cli.exits import ExitCode
from headrace.errors import InvalidError

if TYPE_CHECKING:
    from types import ModuleType

    from headrace.app import Headrace

HOW: Final = 'give it as module:attribute, or write [tool.headrace] app = "module:attribute"'


class AppError(InvalidError):
    """The APP of a command cannot be found; the text says what to write."""

    code = "app_not_found"
    exit_code = ExitCode.CONFIGURATION

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return self.problem


def find_reference(given: str | None) -> str:
    """The APP as text: the one that was given, else that of pyproject.toml in this folder.

    Raises:
        AppError: Neither is there, or it does not read `module:attribute`.
    """
    reference, where = given, "APP"
    if reference is None:
        reference, where = _configured(), "app in [tool.headrace] of pyproject.toml"
    if reference is None:
        raise AppError(
            f"which APP? {Path.cwd()} has no pyproject.toml that names one: {HOW} in pyproject.toml"
        )
    module, colon, attribute = reference.partition(":")
    if not (colon and _is_name(module) and _is_name(attribute)):
        raise AppError(f"{where}: {reference!r} is not module:attribute, as shop.jobs:app")
    return reference


def has_app(given: str | None) -> bool:
    """Whether an APP was given, or pyproject.toml in this folder names one.

    Raises:
        AppError: That file cannot be read.
    """
    return given is not None or _configured() is not None


def load_app(given: str | None) -> Headrace:
    """Import the APP; the current folder is importable.

    Raises:
        AppError: There is no such module or attribute, or it is no `Headrace`.
        DefinitionError: One of its pipelines is defined wrongly.
    """
    from headrace.app import Headrace

    reference = find_reference(given)
    module_name, _, path = reference.partition(":")
    module = _import(module_name, reference)
    found: Any = module
    for part in path.split("."):
        if not hasattr(found, part):
            raise AppError(
                f"{reference}: {module_name} has no {path!r}{_hint(module, Headrace)}; write "
                f"{path} = Headrace(pipelines=[...]) there, or correct the name"
            )
        found = getattr(found, part)
    if not isinstance(found, Headrace):
        kind = type(found).__name__
        raise AppError(
            f"{reference} is of type {kind}, not a Headrace{_hint(module, Headrace)}; write "
            "app = Headrace(pipelines=[...])"
        )
    return found


def _import(name: str, reference: str) -> ModuleType:
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # the module is there; one that it imports is not
        raise AppError(
            f"{reference}: there is no module {error.name!r} in {folder} or the environment; "
            "run the command in the folder that holds it, or correct the name"
        ) from None


def _hint(module: ModuleType, kind: type) -> str:
    apps = [name for name, value in vars(module).items() if isinstance(value, kind)]
    return f"; did you mean {module.__name__}:{apps[0]}?" if apps else ""


def _configured() -> str | None:
    import tomllib

    path = Path("pyproject.toml")
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    try:
        value = tomllib.loads(text).get("tool", {}).get("headrace", {}).get("app")
    except tomllib.TOMLDecodeError as error:
        raise AppError(f"{path.resolve()} cannot be read: {error}; correct it") from None
    if value is not None and not isinstance(value, str):
        raise AppError(f"app in [tool.headrace] of {path.resolve()} is no text: {HOW}")
    return value


def _is_name(text: str) -> bool:
    return bool(text) and all(part.isidentifier() for part in text.split("."))
