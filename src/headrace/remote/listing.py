"""Listings that come in pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from headrace.errors import OptionError
from headrace.remote.errors import ForeignAnswerError
from headrace.remote.transport import Call
from headrace.remote.values import Page

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from headrace.remote.transport import Transport

T = TypeVar("T")

PAGE_MOST: Final = 100


class Listing(Generic[T]):
    """A listing, newest first: `async for` goes through all of it, `page` gives a part.

    Nothing is read before it is asked for. What is added while it is read is not in it; nothing
    comes twice.
    """

    def __init__(
        self, transport: Transport, path: str, kind: type[T], query: Mapping[str, Any]
    ) -> None:
        """Use the methods of `RemoteClient`."""
        self._transport, self._path, self._kind, self._query = transport, path, kind, query

    async def __aiter__(self) -> AsyncIterator[T]:
        cursor: str | None = None
        while True:
            page = await self.page(limit=PAGE_MOST, cursor=cursor)
            for item in page.items:
                yield item
            if page.next is None:
                return
            cursor = page.next

    async def page(self, *, limit: int = 30, cursor: str | None = None) -> Page[T]:
        """A part of it.

        Args:
            limit: Most items, 1 to 100.
            cursor: `next` of the page before.

        Raises:
            OptionError: The limit or the cursor cannot be used.
            HeadraceError: What the server says.
        """
        if not 1 <= limit <= PAGE_MOST:
            raise OptionError("limit", f"{limit} is not in 1 to {PAGE_MOST}")
        query = {**self._query, "limit": limit, "cursor": cursor}
        answer = await self._transport.call(Call(method="GET", path=self._path, query=query))
        told = answer.json()
        if not isinstance(told, dict) or not isinstance(told.get("items"), list):
            raise ForeignAnswerError(answer.address, "answered with something that is no page")
        items = [answer.value(self._kind, one) for one in told["items"]]
        return Page(items, told.get("next"))
