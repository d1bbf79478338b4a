"""Values for the jobs of a remote API, which wait for them or will do so."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from headrace.errors import InputError, InvalidError, OutputError, Problem
from headrace.model.codec import codec_for
from headrace.model.fate import Fate
from headrace.model.status import SignalInfo
from headrace.remote.encoding import job_id
from headrace.remote.errors import ForeignAnswerError
from headrace.remote.problems import Subject
from headrace.remote.transport import JSON, Call, Transport, new_key

if TYPE_CHECKING:
    from uuid import UUID

    from headrace.remote.problems import Refusal

REFUSED: Final = {"SIGNAL_TAKEN": Fate.OTHER, "SIGNAL_EXPIRED": Fate.LATE}
"""By the code of the problem; neither is an error to whoever sends."""
STORED: Final = 202


class RemoteSignals:
    """The signals of the jobs of `RemoteClient`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def send(self, job: str | UUID, name: str, value: object) -> bool:
        """Send a value to a job, for the steps that take it as `Signal(...)`.

        It may come before a step waits for it. The first value of a name stands, also where the
        sender did not hear the answer and sends it again.

        Args:
            job: Its id.
            name: The signal's.
            value: JSON, or a value whose type says how it is written.

        Returns:
            Whether this value stands: False where another one came before, or the time was over.

        Raises:
            SignalNotFoundError: No step of the job's pipeline takes a signal of this name.
            InputError: The value does not fit; the error says where.
            JobFinishedError: The job has ended without it.
            JobNotFoundError: There is no such job, or it is somebody else's.
        """
        return (await self.send_signal(job, name, value)).stands

    async def send_signal(self, job: str | UUID, name: str, value: object) -> Fate:
        """As `send`; tells what became of the value."""
        key = job_id(job)
        call = Call(
            method="POST",
            path=f"/v1/jobs/{key}/signals/{quote(name, safe='')}",
            headers={"Content-Type": JSON, "Idempotency-Key": new_key()},
            content=_encode(name, value).encode(),
            subject=Subject(job=key, signal=name),
            accepts=_does_not_stand,
        )
        answer = await self._transport.call(call)
        if answer.status == STORED:
            return Fate.STORED
        told = answer.json()
        code = told.get("code") if isinstance(told, dict) else None
        return REFUSED.get(str(code), Fate.SAME)

    async def list_signals(self, job: str | UUID) -> list[SignalInfo]:
        """What can be sent to a job, what its steps wait for, and what came in its present run.

        Raises:
            JobNotFoundError: There is no such job, or it is somebody else's.
        """
        key = job_id(job)
        call = Call(method="GET", path=f"/v1/jobs/{key}/signals", subject=Subject(job=key))
        answer = await self._transport.call(call)
        told = answer.json()
        if not isinstance(told, list):
            raise ForeignAnswerError(answer.address, "answered with something that is no list")
        return [answer.value(SignalInfo, one) for one in told]


def _does_not_stand(refusal: Refusal) -> bool:
    return refusal.code in REFUSED


def _encode(name: str, value: Any) -> str:  # noqa: ANN401 - a user's value
    """A value as JSON.

    Raises:
        InputError: It has no such form.
    """
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError as error:
        raise InputError(name, [Problem("$", str(error))]) from error
    except TypeError:
        pass  # no JSON: its type knows
    try:
        return codec_for(type(value)).encode(value)
    except OutputError as error:
        raise InputError(name, [Problem(error.path, error.reason)]) from error
    except InvalidError as error:
        raise InputError(name, [Problem("$", f"{error}; give JSON values")]) from error
