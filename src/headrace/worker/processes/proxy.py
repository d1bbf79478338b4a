"""The context of a step in a process: facts that came with the call, the rest by asking."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from datetime import datetime, timedelta
from time import monotonic
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn
from uuid import UUID

from headrace.errors import DefinitionError, HeadraceError
from headrace.telemetry.masking import clean_field
from headrace.worker.processes.wire import Frame
from headrace.worker.records import read_function, refuse_transaction

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.client import JobHandle
    from headrace.model.context import JsonValue
    from headrace.model.pipeline import Pipeline
    from headrace.worker.processes.link import Link

UNLIMITED: int = 1 << 62


class ProcessContext:
    """Fits `headrace.SyncContext`.

    Everything that it sends bears the number of its call: a thread that a step left behind speaks
    for no later one.
    """

    def __init__(
        self,
        link: Link,
        call: int,
        step: str,
        facts: Mapping[str, Any],
        *,
        pipeline: Pipeline[Any, Any],
    ) -> None:
        self._link, self._call, self._step = link, call, step
        self._pipeline = pipeline
        self._deadline = monotonic() + facts["remaining_s"]
        self.job_id = UUID(facts["job_id"])
        self.run: int = facts["run"]
        self.attempt: int = facts["attempt"]
        self.failures: int = facts["failures"]
        self.item: str | None = facts["item"]
        self.tenant: str = facts["tenant"]
        self.owner: str = facts["owner"]
        self.preset: str | None = facts["preset"]
        self.parameters: Mapping[str, JsonValue] = MappingProxyType(facts["parameters"])
        self.idempotency_key: str = facts["idempotency_key"]
        self.log = ProcessLog(link, call)

    @property
    def cancelled(self) -> bool:
        """Whether the step should stop."""
        return self._link.is_cancelled

    def remaining(self) -> timedelta:
        """The time until the step is stopped."""
        return timedelta(seconds=max(0.0, self._deadline - monotonic()))

    def progress(self, done: int, total: int | None = None, note: str = "") -> None:
        """Show how far the step is."""
        self._link.note(self._call, (int(done), None if total is None else int(total), note))

    def annotate(self, **metadata: JsonValue) -> None:
        """Say something of this execution that is stored beside the step's output."""
        self._ask("annotate", metadata=metadata)

    def once(self, name: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """As `SyncContext.once`; `fn` runs in this process."""
        codec, transactional = read_function(fn)
        if transactional:
            raise refuse_transaction(self._step, name)
        stored = self._ask("recall", name=name).texts
        if stored:
            return codec.decode(stored[0])
        text = codec.encode(fn(*args, **kwargs))
        self._ask("keep", text, name=name)
        return codec.decode(text)

    @property
    def idempotent(self) -> NoReturn:
        """Fits `SyncContext.idempotent`, whose holder has to be seen to live.

        Raises:
            DefinitionError: Always: the database does not know this process.
        """
        raise DefinitionError(
            f"step {self._step}",
            "idempotent(...) in a step with runs_in='process': call it in an async step or a plain "
            "one before or after it",
            "NOT_IN_PROCESS",
        )

    def send(self, name: str, value: object) -> bool:
        """As `SyncContext.send`; the worker stores it."""
        from headrace.client.sending import encode_signal  # noqa: PLC0415 - few steps send

        text = encode_signal(self._pipeline, name, value, UNLIMITED)
        return bool(self._ask("send", text, name=name).fields["stands"])

    def signal_url(self, name: str, **options: Any) -> str:
        """As `SyncContext.signal_url`; the worker makes it."""
        url: str = self._ask("signal_url", name=name, options=write_options(options)).fields["url"]
        return url

    def lock(self, key: str, **_options: object) -> NoReturn:
        """Fits `SyncContext.lock`, which needs the worker's own memory.

        Raises:
            DefinitionError: Always: nothing here could be told in time that the lock was lost.
        """
        raise DefinitionError(
            f"step {self._step}",
            f"lock({key!r}) in a step with runs_in='process': take it in an async step or a plain "
            "function of the worker, and let that call what computes",
            "NOT_IN_PROCESS",
        )

    def submit(
        self,
        pipeline: Pipeline[Any, Any],
        input: Any,  # noqa: A002, ANN401
        *,
        key: str | None = None,
        **options: Any,
    ) -> JobHandle[Any]:
        """As `SyncContext.submit`; the handle only knows the job's id."""
        from headrace.client import JobHandle  # noqa: PLC0415 - few steps submit
        from headrace.client.encoding import encode_input  # noqa: PLC0415

        text = encode_input(pipeline, input, UNLIMITED)
        reply = self._ask(
            "submit", text, pipeline=pipeline.name, key=key, options=write_options(options)
        )
        return JobHandle(_Elsewhere(), reply.fields["job"])  # type: ignore[arg-type]

    def _ask(self, what: str, *texts: str, **fields: object) -> Frame:
        return self._link.ask(what, {"call": self._call, **fields}, *texts)


class ProcessLog:
    """Fits `headrace.model.context.StepLog`: the worker writes the lines."""

    def __init__(self, link: Link, call: int) -> None:
        self._link, self._call = link, call

    def debug(self, event: str, **fields: object) -> None:
        """Write a line for developers."""
        self._write("debug", event, fields)

    def info(self, event: str, **fields: object) -> None:
        """Write a line that says what happened."""
        self._write("info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Write a line that somebody should look at."""
        self._write("warning", event, fields)

    def error(self, event: str, **fields: object) -> None:
        """Write a line that somebody must look at."""
        self._write("error", event, fields)

    def exception(self, event: str, **fields: object) -> None:
        """Write a line with the exception that is being handled."""
        self._write("error", event, {**fields, "exception": traceback.format_exc()})

    def _write(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        cleaned = {name: clean_field(name, value) for name, value in fields.items()}
        fields = {"level": level, "event": str(event), "fields": cleaned}
        self._link.send(Frame("log", {"call": self._call, **fields}))


class _Elsewhere:
    """Stands for the client of a handle in a process that has none."""

    def __getattr__(self, name: str) -> NoReturn:
        raise HeadraceError(
            f"{name}() needs the database, which a step in a process does not reach; "
            "keep the job's id, or use an async step"
        )


def write_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a submission as JSON."""
    written: dict[str, Any] = {}
    for name, value in options.items():
        if isinstance(value, timedelta):
            written[name] = {"seconds": value.total_seconds()}
        elif isinstance(value, datetime):
            written[name] = {"at": value.isoformat()}
        elif value is not None:
            written[name] = value
    return written


def read_options(written: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `write_options`."""
    return {name: _read_option(value) for name, value in written.items()}


def _read_option(value: Any) -> Any:  # noqa: ANN401 - JSON
    if not isinstance(value, dict):
        return value
    if "seconds" in value:
        return timedelta(seconds=value["seconds"])
    return datetime.fromisoformat(value["at"])
