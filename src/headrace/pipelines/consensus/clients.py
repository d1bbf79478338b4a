"""What the steps work with, as the settings say; opened once a worker."""

from __future__ import annotations

import asyncio
import importlib
import inspect
from typing import TYPE_CHECKING, Any

from headrace.pipelines.consensus.errors import ModelClientError
from headrace.pipelines.consensus.offline import OfflineModel
from headrace.pipelines.consensus.settings import consensus_settings

if TYPE_CHECKING:
    from headrace.pipelines.consensus.model import ModelClient


async def open_model() -> ModelClient:
    """What HEADRACE_CONSENSUS_CLIENT names.

    Raises:
        ModelClientError: There is no such client, or it is not installed.
    """
    choice = consensus_settings().chosen_client
    if choice == "offline":
        return OfflineModel()
    if choice == "openai":
        return await asyncio.to_thread(_open_openai)
    return await _opened(choice)


def _open_openai() -> ModelClient:
    # Off the loop and only here: the import takes half a second.
    try:
        from headrace.pipelines.consensus.openai_client import open_openai  # noqa: PLC0415
        from headrace.pipelines.consensus.openai_guards import shared_guards  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ModelClientError(
            f"the client openai needs {error.name}, which is not installed: "
            "pip install 'headrace[openai]'"
        ) from None
    settings = consensus_settings()
    return open_openai(settings, shared_guards(settings))


async def _opened(reference: str) -> ModelClient:
    """The client that a factory of somebody else opens."""
    module_name, colon, name = reference.partition(":")
    if not (colon and module_name and name):
        raise ModelClientError(
            f"HEADRACE_CONSENSUS_CLIENT: {reference!r} is no client; give openai, offline, or a "
            "factory as module:attribute"
        )
    try:
        factory: Any = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError) as error:
        raise ModelClientError(f"HEADRACE_CONSENSUS_CLIENT: {reference}: {error}") from error
    made = factory()
    client: ModelClient = await made if inspect.isawaitable(made) else made
    return client
