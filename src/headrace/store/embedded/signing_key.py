"""The master key of signatures that belongs to an embedded database: a file beside it."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import Final

NAME: Final = "signing.key"
BYTES: Final = 32


def read_signing_key(folder: Path) -> bytes:
    """The key; made at random when it is first asked for, and readable by its owner only.

    Args:
        folder: Of the embedded database; made if need be.
    """
    path = folder / NAME
    if not path.exists():
        _make(path)
    return path.read_bytes()


def _make(path: Path) -> None:
    """Make it whole or not at all: processes that start together agree on one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{NAME}.{secrets.token_hex(4)}")
    draft.touch(mode=0o600)
    try:
        draft.write_bytes(secrets.token_bytes(BYTES))
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
