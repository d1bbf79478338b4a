"""Links behind which a person answers a signal: made here, signed, and stored nowhere."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from headrace.errors import ConflictError, OptionError, SignalNotFoundError
from headrace.model.duration import Duration, to_timedelta
from headrace.model.link import LONGEST_TEXT, LONGEST_TITLE, NONCE_BYTES, Link, write_token

if TYPE_CHECKING:
    from uuid import UUID

    from headrace.model.pipeline import Pipeline

PATH: Final = "/signals/"
"""What the address of a link has before its token."""
MOST_VALID: Final = timedelta(days=365)


class LinksOffError(ConflictError):
    """Nobody can be given a link here: a setting is missing.

    Attributes:
        setting: Which one.
    """

    code = "links_off"

    def __init__(self, setting: str) -> None:
        super().__init__(setting)
        self.setting = setting

    def __str__(self) -> str:
        what = {
            "HEADRACE_SIGNING_KEYS": "a secret of 32 characters at least, the same for every "
            "worker and API",
            "HEADRACE_PUBLIC_URL": "the address under which people reach the API, as "
            "https://jobs.example.com",
        }
        return f"links to signals are off here: set {self.setting} to {what[self.setting]}"


class Links:
    """Makes the addresses of links.

    Args:
        keys: The master keys of signatures, the newest first.
        address: Where people reach the API; None where nobody has said it.
    """

    def __init__(
        self,
        keys: Callable[[], Sequence[bytes]] = tuple,
        address: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._keys, self._address = keys, address
        self.served_at: str | None = None
        """Where this process itself serves the API, in place of what the settings suppose."""

    @property
    def keys(self) -> Sequence[bytes]:
        """Those by which links are known, the newest first."""
        return self._keys()

    def make(
        self,
        pipeline: Pipeline[Any, Any],
        job: UUID,
        run: int,
        name: str,
        *,
        valid: Duration | None = None,
        title: str = "",
        text: str = "",
    ) -> str:
        """The address of a new link; see `StepContext.signal_url`."""
        signal = pipeline.signals.get(name)
        if signal is None:
            raise SignalNotFoundError(name, tuple(pipeline.signals))
        life = signal.timeout if valid is None else _checked(valid)
        _refuse_unfit("title", title, LONGEST_TITLE, "")
        _refuse_unfit("text", text, LONGEST_TEXT, "\n")
        keys, address = self.keys, self.served_at or self._address()
        if not keys:
            raise LinksOffError("HEADRACE_SIGNING_KEYS")
        if address is None:
            raise LinksOffError("HEADRACE_PUBLIC_URL")
        expires = int(time.time() + life.total_seconds())
        link = Link(job, run, name, expires, os.urandom(NONCE_BYTES), title, text)
        return address.rstrip("/") + PATH + write_token(keys[0], link)


def _checked(valid: Duration) -> timedelta:
    try:
        return to_timedelta(valid, "valid", least=1, most=MOST_VALID.total_seconds())
    except ValueError as error:
        raise OptionError("valid", str(error)) from None


def _refuse_unfit(option: str, text: str, most: int, also: str) -> None:
    if len(text) > most:
        raise OptionError(option, f"it has {len(text):,} characters; at most {most:,} are taken")
    if not all(character.isprintable() or character in also for character in text):
        kind = "several lines are taken" if also else "one line is taken"
        raise OptionError(option, f"it holds a character that nobody sees; {kind}")
