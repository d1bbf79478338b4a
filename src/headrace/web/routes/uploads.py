"""/v1/documents/uploads: files are sent ahead, to addresses that take them without a credential.

For whoever has the file and is not to have the credential, as a page in a browser. The file waits
an hour for POST /v1/documents with its `upload_id`.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from tempfile import SpooledTemporaryFile
from typing import Annotated, Any, BinaryIO, Final, cast
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect

from headrace.web.answers import json_response
from headrace.web.auth.depends import Writer
from headrace.web.library import held_by, room_of
from headrace.web.problems import MALFORMED, READING, ProblemError, responses
from headrace.web.signed_uploads import PATH, SignedUpload, is_signed, sign_upload
from headrace.web.state import service_of
from headrace.web.views.documents import UploadAddress

router = APIRouter(prefix=PATH, tags=["documents"])

IN_MEMORY: Final = 1_024 * 1_024
"""Of a file that comes; more waits on disk."""
FILE: Final[dict[str, Any]] = {
    "required": True,
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
}
OF_PUT: Final = ("FORBIDDEN", "PAYLOAD_TOO_LARGE", "UNAVAILABLE")


@router.post(
    "",
    status_code=201,
    operation_id="create_upload",
    response_model=UploadAddress,
    responses=responses(*READING, "CONFLICT"),
)
async def create_upload(request: Request, identity: Writer) -> Response:
    """An address to which a file can be sent within 300 s, by PUT and without a credential.

    Sent again, the request gives another one. The file is ingested by POST /v1/documents with the
    `upload_id`, within an hour.
    """
    service = service_of(request)
    address = sign_upload(service.app.signing_keys, identity)
    body = {
        "upload_id": address.upload,
        "method": "PUT",
        "url": address.url,
        "expires_at": datetime.fromtimestamp(address.expires, UTC),
        "max_bytes": service.settings.max_upload_bytes,
    }
    return json_response(body, 201, {"Location": address.url})


@router.put(
    "/{upload_id}",
    status_code=204,
    operation_id="send_upload",
    response_class=Response,
    responses=responses(*OF_PUT, malformed=True),
    openapi_extra={"requestBody": FILE},
)
async def send_upload(
    request: Request,
    upload_id: Annotated[UUID, Path(description="As the address has it.")],
    owner: Annotated[str, Query(pattern="^[0-9a-f]{32}$", description="As the address has it.")],
    expires: Annotated[int, Query(ge=0, le=2**40, description="As the address has it.")],
    signature: Annotated[
        str, Query(pattern="^[0-9a-f]{64}$", description="As the address has it.")
    ],
) -> Response:
    """Send the file to an address of `create_upload`; until that expires, again in its place."""
    service = service_of(request)
    address = SignedUpload(upload_id, owner, expires, signature)
    if not is_signed(service.app.signing_keys, address, now=time.time()):
        raise ProblemError("FORBIDDEN", "the address was not given out, or has expired")
    most = service.settings.max_upload_bytes
    with SpooledTemporaryFile(IN_MEMORY) as kept:
        file = UploadFile(cast("BinaryIO", kept), size=0)
        await _receive(request, file, most)
        await file.seek(0)
        async with room_of(request):
            await held_by(request).keep(address, await file.read())
    return Response(status_code=204)


async def _receive(request: Request, file: UploadFile, most: int) -> None:
    try:
        async for part in request.stream():
            if (file.size or 0) + len(part) > most:
                raise ProblemError("PAYLOAD_TOO_LARGE", f"at most {most:,} bytes are taken here")
            await file.write(part)
    except ClientDisconnect:
        raise ProblemError("VALIDATION_ERROR", "the body broke off", status=MALFORMED) from None
    if not file.size:
        raise ProblemError("VALIDATION_ERROR", "the file is empty", status=MALFORMED)
