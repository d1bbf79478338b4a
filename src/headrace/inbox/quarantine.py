"""Messages that were put aside: looked at, taken after all, or deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.errors import ConflictError, PipelineNotFoundError
from headrace.inbox.inbox import ElsewhereError
from headrace.inbox.message import RefusedError
from headrace.model.incoming import Incoming
from headrace.store.audit import Action, record_action
from headrace.store.inbox import (
    delete_quarantined,
    find_quarantined,
    list_quarantine,
    mark_redriven,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from headrace.inbox.inbox import Inbox
    from headrace.inbox.verdict import Verdict
    from headrace.store.inbox import Quarantined
    from headrace.store.pool import HeldConnection


class StillRefusedError(ConflictError):
    """A message that was put aside cannot be taken now, either."""

    code = "message_refused"

    def __init__(self, number: int, refused: RefusedError) -> None:
        super().__init__(number, refused)
        self.number, self.refused = number, refused

    def __str__(self) -> str:
        return f"message {self.number} is still refused: {self.refused}"


class RedrivenBeforeError(ConflictError):
    """A message that was put aside has been taken since."""

    code = "message_redriven"

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    def __str__(self) -> str:
        return f"message {self.number} has been redriven already"


class Quarantine:
    """The messages that were put aside, of all sources: for operators.

    Args:
        connect: Gives a connection of the database for a `with` block.
        inbox: Gives what takes messages.
    """

    def __init__(
        self,
        connect: Callable[[], AbstractAsyncContextManager[HeldConnection]],
        inbox: Callable[[], Inbox],
    ) -> None:
        self._connect, self._inbox = connect, inbox

    async def page(
        self,
        *,
        reason: str | None = None,
        source: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[Quarantined]:
        """Messages, the newest first, without their content.

        Args:
            reason: Only those that were put aside for it.
            source: Only those that give themselves this source.
            before: Only those with smaller numbers.
            limit: Most messages.
        """
        async with self._connect() as connection:
            return await list_quarantine(
                connection, reason=reason, source=source, before=before, limit=limit
            )

    async def find(self, number: int) -> tuple[Quarantined, bytes]:
        """One message, with its content as it came.

        Raises:
            QuarantinedNotFoundError: There is none.
        """
        async with self._connect() as connection:
            return await find_quarantined(connection, number)

    async def redrive(
        self, number: int, *, by: str, reason: str | None = None, request_id: str | None = None
    ) -> Verdict:
        """Take a message that was put aside, as if it came now; only one caller does.

        Args:
            number: In quarantine.
            by: Who wants it.
            reason: Why; kept in the audit.
            request_id: Of the request that asks for it.

        Raises:
            QuarantinedNotFoundError: There is none.
            RedrivenBeforeError: It was taken before.
            StillRefusedError: It is refused again; it stays where it is.
            PipelineNotFoundError: Not here, but by other workers, its pipeline is carried.
            DatabaseUnavailableError: The database does not answer.
        """
        async with self._connect() as connection, connection.transaction():
            aside, data = await find_quarantined(connection, number, lock=True)
            if aside.redriven_at is not None:
                raise RedrivenBeforeError(number)
            message = Incoming(
                message_id=aside.message_id,
                data=data,
                attributes=aside.attributes,
                published_at=aside.published_at,
            )
            try:
                verdict = await self._inbox().accept(connection, message)
            except RefusedError as refused:
                raise StillRefusedError(number, refused) from None
            except ElsewhereError as elsewhere:
                raise PipelineNotFoundError(str(elsewhere), ()) from None
            await mark_redriven(connection, number, by=by, job=verdict.job)
            after = {"outcome": verdict.outcome, "job": str(verdict.job)}
            done = Action(by, "quarantine.redrive", str(number), reason, request_id, after=after)
            await record_action(connection, done)
        self._inbox().ring(verdict)
        return verdict

    async def delete(
        self, number: int, *, by: str, reason: str | None = None, request_id: str | None = None
    ) -> None:
        """Remove a message for good; arguments as `redrive`.

        Raises:
            QuarantinedNotFoundError: There is none.
        """
        async with self._connect() as connection, connection.transaction():
            aside, _ = await find_quarantined(connection, number, lock=True)
            await delete_quarantined(connection, number)
            before = {"message_id": aside.message_id, "reason": aside.reason}
            done = Action(by, "quarantine.delete", str(number), reason, request_id, before=before)
            await record_action(connection, done)
