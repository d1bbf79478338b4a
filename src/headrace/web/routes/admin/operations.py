"""/v1/admin/operations: what was done once for a tenant is listed, and forgotten."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Query, Request
from fastapi.responses import Response

from headrace.store.idempotency import (
    OperationNotFoundError,
    OperationPendingError,
    forget_operation,
    list_operations,
)
from headrace.web.answers import json_response
from headrace.web.auth.depends import Operator
from headrace.web.problems import ProblemError, not_found
from headrace.web.routes.admin.recording import (
    Why,
    acting,
    action,
    admin_router,
    listing,
    note,
)
from headrace.web.routes.listing import Name
from headrace.web.state import service_of
from headrace.web.views.idempotency import (
    ForgetBody,
    ForgottenView,
    OperationView,
    State,
    operation_view,
)

router = admin_router("operations")


@listing(router, "admin_list_operations", list[OperationView])
async def admin_list_operations(
    request: Request,
    identity: Operator,
    reason: Why,
    *,
    job: Annotated[UUID | None, Query(description="Begun by this job.")] = None,
    tenant: Annotated[Name | None, Query(description="Of this tenant.")] = None,
    state: Annotated[State | None, Query(description="In this state.")] = None,
    limit: Annotated[int, Query(ge=1, le=1_000, description="Most operations.")] = 100,
) -> Response:
    """Operations that jobs share, those that began last first; without what came of them."""
    await note(request, identity, "operation.list", tenant or "all tenants", reason)
    async with service_of(request).app.connection() as connection:
        found = await list_operations(connection, tenant=tenant, job=job, state=state, limit=limit)
    return json_response([operation_view(one) for one in found])


@action(router, "/forget", "admin_forget_operation", ForgottenView)
async def admin_forget_operation(
    request: Request, identity: Operator, body: ForgetBody
) -> Response:
    """Free a key: the next call under it is carried out, whatever came of the last one."""
    target = f"{body.tenant}/{body.key}"
    try:
        async with acting(request, identity, "operation.forget", target, body.reason) as act:
            state = await forget_operation(act.connection, body.tenant, body.key, force=body.force)
            act.after = {"was": state}
    except OperationNotFoundError:
        raise not_found("operation") from None
    except OperationPendingError as error:
        raise ProblemError("CONFLICT", str(error)) from None
    return json_response({"tenant": body.tenant, "key": body.key, "state": state})
