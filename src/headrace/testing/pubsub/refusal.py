"""A call that is answered with an error."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2


class Code(StrEnum):
    """How a call can fail, by gRPC's names."""

    ABORTED = "ABORTED"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    CANCELLED = "CANCELLED"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    INTERNAL = "INTERNAL"
    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    NOT_FOUND = "NOT_FOUND"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    UNAVAILABLE = "UNAVAILABLE"
    UNKNOWN = "UNKNOWN"


class RefusedError(Exception):
    """A call is answered with an error.

    Attributes:
        code: What a client decides by.
        text: What its user reads.
        reasons: By ack id, why it was refused; for subscriptions with exactly-once delivery.
    """

    def __init__(self, code: Code, text: str, reasons: Mapping[str, str] | None = None) -> None:
        super().__init__(code, text, reasons)
        self.code, self.text, self.reasons = code, text, reasons

    async def abort(self, context: Any) -> None:  # noqa: ANN401 - gRPC ships no types
        """Answer the call so.

        Raises:
            grpc.aio.AbortError: Always; it ends the handler.
        """
        status = getattr(grpc.StatusCode, self.code.name)
        await context.abort(status, self.text, self._details(status.value[0]))

    def _details(self, number: int) -> tuple[tuple[str, bytes], ...]:
        if not self.reasons:
            return ()
        information = error_details_pb2.ErrorInfo(
            reason=self.code.name, domain="pubsub.googleapis.com", metadata=self.reasons
        )
        detail = any_pb2.Any()
        detail.Pack(information)
        status = status_pb2.Status(code=number, message=self.text, details=[detail])
        return (("grpc-status-details-bin", status.SerializeToString()),)


def invalid(text: str) -> RefusedError:
    """The request itself is wrong."""
    return RefusedError(Code.INVALID_ARGUMENT, text)


def not_found(what: str) -> RefusedError:
    """There is nothing of that name."""
    return RefusedError(Code.NOT_FOUND, f"Resource not found (resource={what}).")
