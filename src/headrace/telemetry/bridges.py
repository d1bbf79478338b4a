"""Bridges from other logging libraries to our lines: the standard library's, and structlog.

structlog is imported inside the functions: it costs 0.2 s, and only processes that log need it.
"""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from headrace.telemetry.events import Level
from headrace.telemetry.masking import clean_field, clean_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping
    from types import TracebackType

    _ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]
    _Fields = MutableMapping[str, Any]

OWN_FIELDS: Final = "_headrace"
"""The engine's own fields travel under this name, so that a user's fields cannot replace them."""
_STANDARD: Final = frozenset(
    {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "color_message"}
)
_METHODS: Final = {
    "warn": Level.WARNING,
    "exception": Level.ERROR,
    "fatal": Level.CRITICAL,
    "msg": Level.INFO,
}


class Write(Protocol):
    """Takes a line of somebody else's code."""

    def __call__(
        self,
        level: int,
        message: str,
        fields: Mapping[str, object],
        *,
        own: Mapping[str, object] | None = None,
        exception: BaseException | None = None,
    ) -> None:
        """Write one line; `own` fields win over equal names."""


def bridge_logging(write: Write, level: Level) -> Callable[[], None]:
    """Send all records and warnings of the standard library to `write`.

    Returns:
        A function that restores what was there before.
    """
    root = logging.getLogger()
    selector_log = logging.getLogger(
        "asyncio"
    )  # names its selector at DEBUG whenever a loop starts
    before, levels = root.handlers[:], (root.level, selector_log.level)

    def restore() -> None:
        root.handlers[:] = before
        root.setLevel(levels[0])
        selector_log.setLevel(levels[1])
        logging.captureWarnings(capture=False)

    root.handlers[:] = [_Handler(write)]
    root.setLevel(level)
    selector_log.setLevel(max(level, Level.INFO))
    logging.captureWarnings(capture=True)
    return restore


def bridge_structlog(write: Write, level: Level) -> Callable[[], None]:
    """Send everything that structlog's loggers say to `write`.

    Returns:
        A function that restores structlog's defaults.
    """
    import structlog  # noqa: PLC0415

    def to_line(logger: logging.Logger, method: str, fields: _Fields) -> _Fields:
        message, own, exception = _take_apart(fields)
        level = _METHODS.get(method) or Level[method.upper()]
        write(level, message, {"logger": logger.name, **fields}, own=own, exception=exception)
        raise structlog.DropEvent

    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, to_line],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_named_logger,
        cache_logger_on_first_use=False,
    )
    return structlog.reset_defaults


def standard_log(name: str, own: Mapping[str, object]) -> Any:  # noqa: ANN401 - structlog's type
    """Return a structlog logger that speaks through the standard library's logger `name`."""
    import structlog  # noqa: PLC0415

    bound = structlog.wrap_logger(
        logging.getLogger(name),
        processors=[_to_record],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    return bound.bind(**{OWN_FIELDS: own})


class _Handler(logging.Handler):
    """Turns a record into a line; whatever a record holds, logging it never raises."""

    def __init__(self, write: Write) -> None:
        super().__init__()
        self._write = write

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - wrong arguments in somebody's call: show the template
            message = str(record.msg)
        extra = {key: value for key, value in vars(record).items() if key not in _STANDARD}
        exception = record.exc_info[1] if record.exc_info else None
        with suppress(Exception):
            fields = {"logger": record.name, **extra}
            self._write(record.levelno, message, fields, exception=exception)


def _named_logger(*names: object) -> logging.Logger:
    """Return what carries a structlog logger's name; it writes nothing itself."""
    return logging.getLogger(str(names[0]) if names else "structlog")


def _to_record(
    _logger: logging.Logger, _method: str, fields: _Fields
) -> tuple[tuple[str, str], dict[str, Any]]:
    """Give `message key=value` as text: `extra` would refuse names such as `name` and `args`."""
    message, own, exception = _take_apart(fields)
    whole = {key: clean_field(key, value) for key, value in fields.items()} | own
    text = " ".join((clean_text(message), *(f"{key}={value!s}" for key, value in whole.items())))
    return ("%s", text), {"exc_info": exception}


def _take_apart(fields: _Fields) -> tuple[str, dict[str, object], BaseException | None]:
    message = str(fields.pop("event", ""))
    own = fields.pop(OWN_FIELDS, None) or {}
    return message, own, _exception_of(fields.pop("exc_info", None))


def _exception_of(exc_info: object) -> BaseException | None:
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return cast("_ExcInfo", exc_info)[1]
    return sys.exc_info()[1] if exc_info else None
