"""Who may submit by message: made, listed, given new keys."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from headrace.client.options import check_text
from headrace.errors import ConflictError, OptionError
from headrace.inbox.message import source_key
from headrace.model.signing import secret_text
from headrace.store import sources as store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headrace.store.connections import Connections
    from headrace.store.sources import Source

OVERLAP: Final = timedelta(days=1)
"""For which the key before is good as well."""
LONGEST_OVERLAP: Final = timedelta(days=7)
ANY: Final = "*"
"""In the place of pipelines: every one."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)


class SigningOffError(ConflictError):
    """No key can be made here, so there are no sources."""

    code = "signing_off"

    def __str__(self) -> str:
        return "messages cannot be checked here; set HEADRACE_SIGNING_KEYS"


class Sources:
    """The sources of an installation.

    Args:
        connections: To the database.
        keys: Gives the signing keys of the settings, the newest first.
    """

    def __init__(self, connections: Connections, keys: Callable[[], Sequence[bytes]]) -> None:
        self._connections, self._keys = connections, keys

    async def create(
        self,
        name: str,
        *,
        tenant: str,
        owner: str,
        pipelines: Sequence[str],
        by: str,
        names_owners: bool = False,
    ) -> tuple[str, Source]:
        """Let a system submit jobs by message.

        Args:
            name: As its messages give it.
            tenant: Whose its jobs are.
            owner: Whose they are within the tenant.
            pipelines: What it may submit to; `*` is every pipeline.
            by: Who lets it.
            names_owners: Whether a message may name another owner.

        Returns:
            Its secret, which is nowhere else, and how it is listed.

        Raises:
            OptionError: A name cannot be used, or there is no pipeline among them.
            SourceExistsError: There is one of this name.
            SigningOffError: There is no signing key.
        """
        if not _NAME.fullmatch(name):
            what = "give 1 to 100 letters, digits, dots, dashes and underscores"
            raise OptionError("name", f"{name[:40]!r} cannot be used; {what}")
        check_text("tenant", tenant)
        check_text("owner", owner)
        if not pipelines:
            raise OptionError("pipelines", f"none is given; name some, or {ANY} for every one")
        for pipeline in pipelines:
            check_text("pipelines", pipeline)
        master = self._master()
        async with self._connections.use() as connection:
            source = await store.add_source(
                connection,
                name,
                tenant=tenant,
                owner=owner,
                pipelines=pipelines,
                by=by,
                names_owners=names_owners,
            )
        return _secret(master, source), source

    async def all(self) -> list[Source]:
        """All sources, by name."""
        async with self._connections.use() as connection:
            return await store.list_sources(connection)

    async def rotate(
        self, name: str, *, by: str, overlap: timedelta = OVERLAP, reason: str | None = None
    ) -> tuple[str, Source]:
        """Give a source a new secret.

        Args:
            name: Of the source.
            by: Who does it.
            overlap: For so long the one before is good, too; at most 7 days.
            reason: Why.

        Returns:
            The new secret, which is nowhere else, and how the source is listed.

        Raises:
            OptionError: The overlap is longer, or negative.
            SourceNotFoundError: There is none.
            SigningOffError: There is no signing key.
        """
        if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
            raise OptionError("overlap", f"give 0 s to {LONGEST_OVERLAP.days} days")
        master = self._master()
        async with self._connections.use() as connection:
            source = await store.rotate_source(
                connection, name, overlap=overlap, by=by, reason=reason
            )
        return _secret(master, source), source

    async def disable(self, name: str, *, reason: str, by: str) -> Source:
        """Take nothing more from a source: its messages are put aside from now on.

        Raises:
            SourceNotFoundError: There is none.
        """
        check_text("reason", reason, 500)
        async with self._connections.use() as connection:
            return await store.disable_source(connection, name, reason=reason, by=by)

    async def enable(self, name: str, *, by: str) -> Source:
        """Take messages of a source again.

        Raises:
            SourceNotFoundError: There is none.
        """
        async with self._connections.use() as connection:
            return await store.disable_source(connection, name, reason=None, by=by)

    def _master(self) -> bytes:
        keys = self._keys()
        if not keys:
            raise SigningOffError
        return keys[0]


def _secret(master: bytes, source: Source) -> str:
    return secret_text(source_key(master, source.name, source.key_generation))
