"""/v1/admin/api-keys: API keys are made, listed and revoked."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import Path, Query, Request
from fastapi.responses import Response

from headrace.store.api_keys import (
    ApiKeyNotFoundError,
    create_api_key,
    list_api_keys,
    revoke_api_key,
)
from headrace.web.answers import json_response
from headrace.web.auth.depends import Operator
from headrace.web.problems import REQUEST_ID, not_found, responses
from headrace.web.routes.admin.recording import OF_LISTS, Why, action, admin_router, listing, note
from headrace.web.routes.listing import Name
from headrace.web.state import service_of
from headrace.web.views.admin import ApiKeyBody, ApiKeyView, NewApiKeyView, api_key_view

router = admin_router("api-keys", takes_keys=False)  # an answer that is kept would hold the key

Prefix = Annotated[str, Path(pattern=r"^[a-z2-7]{16}$", description="As the list shows it.")]


@listing(router, "admin_list_api_keys", list[ApiKeyView])
async def admin_list_api_keys(
    request: Request,
    identity: Operator,
    reason: Why,
    tenant: Annotated[Name | None, Query(description="Only of this tenant.")] = None,
    limit: Annotated[int, Query(ge=1, le=1_000, description="Most keys.")] = 100,
) -> Response:
    """Keys, the newest first; those that ended too. None of this opens anything."""
    await note(request, identity, "api_key.list", tenant or "all tenants", reason)
    async with service_of(request).app.connection() as connection:
        keys = await list_api_keys(connection, tenant=tenant, limit=limit)
    return json_response([api_key_view(key) for key in keys])


@action(router, "", "admin_create_api_key", NewApiKeyView, status=201)
async def admin_create_api_key(request: Request, identity: Operator, body: ApiKeyBody) -> Response:
    """Make a key; it is shown this once. Sent again, the request makes another one."""
    async with service_of(request).app.connection() as connection:
        key, made = await create_api_key(
            connection,
            tenant=body.tenant,
            owner=body.owner,
            scopes=set(body.scopes),
            life=timedelta(seconds=body.expires_in_s),
            by=identity.subject,
            note=body.reason,
            request_id=request.scope.get(REQUEST_ID),
        )
    return json_response({**api_key_view(made), "key": key}, 201)


@router.delete(
    "/{prefix}",
    operation_id="admin_revoke_api_key",
    response_model=ApiKeyView,
    responses=responses(*OF_LISTS, "NOT_FOUND", malformed=True),
)
async def admin_revoke_api_key(
    request: Request, identity: Operator, prefix: Prefix, reason: Why
) -> Response:
    """End a key: within a minute no process accepts it any more."""
    try:
        async with service_of(request).app.connection() as connection:
            ended = await revoke_api_key(
                connection,
                prefix,
                by=identity.subject,
                reason=reason,
                request_id=request.scope.get(REQUEST_ID),
            )
    except ApiKeyNotFoundError:
        raise not_found("API key") from None
    return json_response(api_key_view(ended))
