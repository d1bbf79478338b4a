"""A file that comes as a form: kept on disk while it comes, and in memory only once it is whole."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final

import orjson
from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect

from headrace.web.idempotency import fingerprint_of
from headrace.web.problems import MALFORMED, Detail, ProblemError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.datastructures import FormData
    from starlette.requests import Request
    from starlette.types import Scope

FORM: Final = "multipart/form-data"
FORM_BYTES: Final = 16 * 1024
"""What a form may have beside its file: boundaries, headers, fields."""
PART_BYTES: Final = 256 * 1024
MOST_FIELDS: Final = 2
FIELD_BYTES: Final = 1024
FIELDS: Final = frozenset({"file", "sha256", "force"})
FLAGS: Final = {"true": True, "false": False}
_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class Received:
    """What came, checked but for the file itself."""

    file: UploadFile
    name: str
    bytes: int
    sha256: str | None
    force: bool


async def fingerprint_of_form(scope: Scope, form: Received) -> bytes:
    """What has to be the same in a request that is sent again: the content, and what is told of it.

    Args:
        scope: Of the request.
        form: What it brought.
    """
    found = await asyncio.to_thread(_sha256_of, form.file.file)
    return fingerprint_of(scope, orjson.dumps([form.name, form.sha256, form.force, found]))


def _sha256_of(file: BinaryIO) -> str:
    found = hashlib.sha256()
    while part := file.read(PART_BYTES):
        found.update(part)
    file.seek(0)
    return found.hexdigest()


@contextlib.asynccontextmanager
async def received(request: Request, *, most_bytes: int) -> AsyncIterator[Received]:
    """What a form brings, inside an `async with` block.

    Args:
        request: Its body is not read yet.
        most_bytes: The size of a file that is taken.

    Raises:
        ProblemError: It is no such form, or its file is too large.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != FORM:
        raise ProblemError("UNSUPPORTED_MEDIA_TYPE", f"send the file as {FORM}")
    try:
        form = await request.form(max_files=1, max_fields=MOST_FIELDS, max_part_size=FIELD_BYTES)
    except ClientDisconnect:
        raise ProblemError("VALIDATION_ERROR", "the body broke off", status=MALFORMED) from None
    try:
        yield _checked(form, most_bytes)
    finally:
        await form.close()


def _checked(form: FormData, most_bytes: int) -> Received:
    file = form.get("file")
    if not isinstance(file, UploadFile) or len(form.multi_items()) != len(form):
        raise _refused("file", "one file is needed, with its name")
    unknown = sorted(set(form) - FIELDS)
    if unknown:
        raise _refused(unknown[0][:60], "there is no such field")
    size = file.size or 0
    if size > most_bytes:
        raise ProblemError("PAYLOAD_TOO_LARGE", f"at most {most_bytes:,} bytes are taken here")
    sha256, force = form.get("sha256"), form.get("force", "false")
    if sha256 is not None and not (isinstance(sha256, str) and _SHA256.fullmatch(sha256)):
        raise _refused("sha256", "it is 64 hexadecimal digits")
    if not isinstance(force, str) or force not in FLAGS:
        raise _refused("force", "it is true or false")
    return Received(file, file.filename or "", size, sha256, FLAGS[force])


def _refused(field: str, problem: str) -> ProblemError:
    return ProblemError("VALIDATION_ERROR", errors=[Detail(f"$.{field}", problem)])
