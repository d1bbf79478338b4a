"""headrace runs multi-step pipelines durably, on the PostgreSQL that a team already has.

The public names are loaded when they are first used, so `import headrace` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from headrace.app import Headrace
    from headrace.client import JobHandle
    from headrace.errors import (
        CancelJob,
        ConflictError,
        DefinitionError,
        HeadraceError,
        InvalidError,
        NotFoundError,
        PermanentError,
        RetryAfter,
        Skip,
        UnavailableError,
        UserError,
    )
    from headrace.inbox.message import compose_message
    from headrace.model.context import Row, StepContext, SyncContext, Transaction
    from headrace.model.item_result import ItemError, ItemResult
    from headrace.model.job import JobState
    from headrace.model.lock import Lock, SyncLock
    from headrace.model.markers import Each, Signal, Use
    from headrace.model.pipeline import Pipeline
    from headrace.model.retry import Retry
    from headrace.reliability.breaker import CircuitBreaker
    from headrace.reliability.budget import Budget
    from headrace.reliability.rate_limit import RateLimit
    from headrace.remote import RemoteClient, RemoteJob
    from headrace.statements import Statements
    from headrace.store.embedded.home import project_folder
    from headrace.variables import read_settings

__version__ = "0.1.0"

__all__ = [
    "Budget",
    "CancelJob",
    "CircuitBreaker",
    "ConflictError",
    "DefinitionError",
    "Each",
    "Headrace",
    "HeadraceError",
    "InvalidError",
    "ItemError",
    "ItemResult",
    "JobHandle",
    "JobState",
    "Lock",
    "NotFoundError",
    "PermanentError",
    "Pipeline",
    "RateLimit",
    "RemoteClient",
    "RemoteJob",
    "Retry",
    "RetryAfter",
    "Row",
    "Signal",
    "Skip",
    "Statements",
    "StepContext",
    "SyncContext",
    "SyncLock",
    "Transaction",
    "UnavailableError",
    "Use",
    "UserError",
    "__version__",
    "compose_message",
    "project_folder",
    "read_settings",
]

_MODULES: Final = {
    "Budget": "reliability.budget",
    "CancelJob": "errors",
    "CircuitBreaker": "reliability.breaker",
    "ConflictError": "errors",
    "DefinitionError": "errors",
    "Each": "model.markers",
    "Headrace": "app",
    "HeadraceError": "errors",
    "InvalidError": "errors",
    "ItemError": "model.item_result",
    "ItemResult": "model.item_result",
    "JobHandle": "client",
    "JobState": "model.job",
    "Lock": "model.lock",
    "NotFoundError": "errors",
    "PermanentError": "errors",
    "Pipeline": "model.pipeline",
    "RateLimit": "reliability.rate_limit",
    "RemoteClient": "remote",
    "RemoteJob": "remote",
    "Retry": "model.retry",
    "RetryAfter": "errors",
    "Row": "model.context",
    "Signal": "model.markers",
    "Skip": "errors",
    "Statements": "statements",
    "StepContext": "model.context",
    "SyncContext": "model.context",
    "SyncLock": "model.lock",
    "Transaction": "model.context",
    "UnavailableError": "errors",
    "Use": "model.markers",
    "UserError": "errors",
    "compose_message": "inbox.message",
    "project_folder": "store.embedded.home",
    "read_settings": "variables",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - each name has its type above
    try:
        module = _MODULES[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
