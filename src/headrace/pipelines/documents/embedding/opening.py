"""From the name of an embedder to the embedder."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast

from headrace.pipelines.documents.embedding.batches import estimated_tokens
from headrace.pipelines.documents.embedding.checks import Checked
from headrace.pipelines.documents.embedding.errors import EmbedderError
from headrace.pipelines.documents.embedding.hashing import HASHING, HashingEmbedder
from headrace.pipelines.documents.embedding.minilm import MINILM, load_tokenizer, open_minilm
from headrace.pipelines.documents.embedding.options import EmbedderOptions
from headrace.pipelines.documents.embedding.space import Embedder, Space

CHOICES: Final = ("minilm", "openai", "hashing")
HOW: Final = "choose minilm, openai, hashing, or a factory of your own as module:attribute"

Counter = Callable[[str], int]
"""Tokens of a text. That of `minilm` has its tokenizer as the attribute `tokenizer`."""


async def open_embedder(choice: str, options: EmbedderOptions | None = None) -> Embedder:
    """An embedder that is ready for use; whoever opens it calls its `aclose()`.

    What it gives is `checked`, also if it is one of your own.

    Args:
        choice: `minilm`, `openai`, `hashing`, or `module:attribute`: a function of your own, plain
            or async, without arguments, that returns an `Embedder`.
        options: What the chosen one reads; defaults where left out.

    Raises:
        EmbedderError: There is no such embedder, an extra is not installed, or an option is wrong.
    """
    options = options or EmbedderOptions()
    match choice:
        case "minilm":
            return Checked(await open_minilm(options.model_folder, threads=options.threads))
        case "openai":
            return Checked(await asyncio.to_thread(_open_openai, options))
        case "hashing":
            return Checked(HashingEmbedder())
        case _:
            return Checked(await _open_own(choice))


def space_of(choice: str, options: EmbedderOptions | None = None) -> Space | None:
    """The space of an embedder without opening it; None for one of your own.

    Raises:
        EmbedderError: There is no such embedder.
    """
    match choice:
        case "minilm":
            return MINILM
        case "openai":
            return (options or EmbedderOptions()).space
        case "hashing":
            return HASHING
        case _:
            _own_factory(choice)
            return None


def token_counter(choice: str, options: EmbedderOptions | None = None) -> Counter:
    """What counts the tokens of an embedder without its model: for the process that splits texts.

    One of your own counts by the function that its factory has as the attribute `token_counter`,
    if it has one; else by the estimate.

    Raises:
        EmbedderError: There is no such embedder, or an extra is not installed.
    """
    options = options or EmbedderOptions()
    if choice == "minilm":
        return load_tokenizer(options.model_folder)
    if choice in CHOICES:
        return estimated_tokens
    counter: Counter = getattr(_own_factory(choice), "token_counter", estimated_tokens)
    return counter


def _open_openai(options: EmbedderOptions) -> Embedder:
    # Off the loop and only here: the import takes half a second.
    from headrace.pipelines.documents.embedding.openai import open_openai  # noqa: PLC0415 - an extra

    return open_openai(options)


async def _open_own(choice: str) -> Embedder:
    made = _own_factory(choice)()
    if inspect.isawaitable(made):
        made = await made
    if not isinstance(getattr(made, "space", None), Space):
        raise EmbedderError(
            f"{choice} gave a {type(made).__name__}, not an Embedder: it has no `space`"
        )
    return cast("Embedder", made)


def _own_factory(choice: str) -> Callable[[], Any]:
    module_name, colon, path = choice.partition(":")
    if not (colon and _is_name(module_name) and _is_name(path)):
        raise EmbedderError(f"there is no embedder {choice!r}: {HOW}")
    found: Any = _import(module_name, choice)
    for part in path.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise EmbedderError(f"embedder {choice}: {module_name} has no function {path!r}: {HOW}")
    return cast("Callable[[], Any]", found)


def _import(name: str, choice: str) -> object:
    folder = str(Path.cwd())
    if folder not in sys.path:  # as for the APP of a command
        sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # the module is there; one that it imports is not
        raise EmbedderError(
            f"embedder {choice}: there is no module {error.name!r} in {folder} or the "
            "environment: correct the name, or start the command in the folder that holds it"
        ) from None


def _is_name(text: str) -> bool:
    return bool(text) and all(part.isidentifier() for part in text.split("."))
