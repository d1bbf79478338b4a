"""Files for the commands that work with documents, and what those commands say of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cli.conftest import Commands, Result

SLUICE = "# Sluice\n\nThe miller opens the green gate at dawn.\n"
WHEEL = "# Wheel\n\nThe wheel turns six times in a minute.\n"
BROKEN = b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\n"
PICTURE = b"\x89PNG\r\n\x1a\n\0\0\0"
QUIET = ("documents", "add", "--quiet")


def outcomes(result: Result) -> dict[str, str]:
    """By the name of the file."""
    files = json.loads(result.out)["files"]
    return {Path(file["file"]).name: file["outcome"] for file in files}


def reason(result: Result, name: str) -> str:
    files = json.loads(result.out)["files"]
    [found] = [file["reason"] for file in files if Path(file["file"]).name == name]
    return str(found)


async def stored_id(library: Commands, path: Path) -> str:
    """The id of a document that nobody has ingested yet."""
    result = await library.run(*QUIET, "--no-wait", "--json", str(path))
    return str(result.json()["files"][0]["document"])
