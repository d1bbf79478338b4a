"""/v1/webhooks: who is told of what happens to the jobs of a tenant."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Body, Path, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from headrace.errors import ConflictError
from headrace.store.webhooks import (
    WebhookNotFoundError,
    find_webhook,
    list_deliveries,
    list_webhooks,
)
from headrace.web.answers import json_response
from headrace.web.auth.depends import Reader, TenantAdmin
from headrace.web.idempotency import KeyedRoute, keyed
from headrace.web.owned import OwnedJob
from headrace.web.problems import (
    READING,
    REQUEST_ID,
    WRITING,
    ProblemError,
    not_found,
    responses,
)
from headrace.web.state import service_of
from headrace.web.views.webhooks import (
    DeliveryPage,
    NewWebhookView,
    RotateBody,
    TestSent,
    WebhookBody,
    WebhookList,
    WebhookView,
    delivery_view,
    webhook_view,
)
from headrace.web.wall import reading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.store.pool import HeldConnection
    from headrace.web.auth.identity import Identity

router = APIRouter(tags=["webhooks"])
# An answer that is kept for an idempotency key would hold the secret: those routes take none.
of_tenants = APIRouter(prefix="/v1/webhooks")
repeatable = APIRouter(prefix="/v1/webhooks", route_class=KeyedRoute)
of_jobs = APIRouter(prefix="/v1/jobs")

OF_ACTIONS: Final = (*WRITING, "NOT_FOUND", "CONFLICT")
WebhookId = Annotated[UUID, Path(description="The id of a webhook.")]


class DeliveryQuery(BaseModel):
    """Which part of the list."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(30, ge=1, le=100, description="Most events of a page.")
    cursor: int | None = Field(None, ge=1, le=2**63 - 1, description="`next` of the page before.")


@of_tenants.post(
    "",
    status_code=201,
    operation_id="create_webhook",
    response_model=NewWebhookView,
    responses=responses(*WRITING, "CONFLICT"),
)
async def create_webhook(request: Request, identity: TenantAdmin, body: WebhookBody) -> Response:
    """Have an address told of the tenant's jobs from now on. The secret is shown this once."""
    with _told():
        secret, webhook = await service_of(request).app.webhooks.create(
            body.url, owner=body.owner, events=body.events, **_by(request, identity)
        )
    return json_response({**webhook_view(webhook), "secret": secret}, 201)


@of_tenants.get(
    "", operation_id="list_webhooks", response_model=WebhookList, responses=responses(*READING)
)
async def list_tenant_webhooks(request: Request, identity: TenantAdmin) -> Response:
    """The tenant's webhooks, the newest first; without those of single jobs."""
    async with reading(request, identity) as connection:
        found = await list_webhooks(connection, identity.tenant)
    return json_response({"items": [webhook_view(webhook) for webhook in found]})


@of_tenants.get(
    "/{webhook_id}",
    operation_id="get_webhook",
    response_model=WebhookView,
    responses=responses(*READING, "NOT_FOUND", malformed=True),
)
async def get_webhook(request: Request, identity: TenantAdmin, webhook_id: WebhookId) -> Response:
    """One webhook. Where it is disabled, this says why."""
    with _told():
        async with reading(request, identity) as connection:
            webhook = await find_webhook(connection, webhook_id, identity.tenant)
    return json_response(webhook_view(webhook))


@of_tenants.delete(
    "/{webhook_id}",
    status_code=204,
    operation_id="delete_webhook",
    response_class=Response,
    responses=responses(*READING, "NOT_FOUND", malformed=True),
)
async def delete_webhook(
    request: Request, identity: TenantAdmin, webhook_id: WebhookId
) -> Response:
    """Remove a webhook, with all that waits for it."""
    with _told():
        await service_of(request).app.webhooks.delete(webhook_id, **_by(request, identity))
    return Response(status_code=204)


@of_tenants.post(
    "/{webhook_id}/rotate",
    operation_id="rotate_webhook",
    response_model=NewWebhookView,
    responses=responses(*OF_ACTIONS, malformed=True),
)
async def rotate_webhook(
    request: Request,
    identity: TenantAdmin,
    webhook_id: WebhookId,
    body: Annotated[RotateBody | None, Body()] = None,
) -> Response:
    """Make another secret, which is shown this once; for a day messages are signed with both."""
    overlap = timedelta(seconds=(body or RotateBody()).overlap_s)
    with _told():
        secret, webhook = await service_of(request).app.webhooks.rotate(
            webhook_id, overlap=overlap, **_by(request, identity)
        )
    return json_response({**webhook_view(webhook), "secret": secret})


@repeatable.post(
    "/{webhook_id}/enable",
    operation_id="enable_webhook",
    response_model=WebhookView,
    responses=responses(*OF_ACTIONS, malformed=True),
    openapi_extra=keyed(),
)
async def enable_webhook(
    request: Request, identity: TenantAdmin, webhook_id: WebhookId
) -> Response:
    """Tell a webhook again what happens, from now on, after it was disabled."""
    with _told():
        webhook = await service_of(request).app.webhooks.enable(
            webhook_id, **_by(request, identity)
        )
    return json_response(webhook_view(webhook))


@repeatable.post(
    "/{webhook_id}/test",
    status_code=202,
    operation_id="test_webhook",
    response_model=TestSent,
    responses=responses(*OF_ACTIONS, malformed=True),
    openapi_extra=keyed(),
)
async def test_webhook(request: Request, identity: TenantAdmin, webhook_id: WebhookId) -> Response:
    """Send a webhook an event of type `webhook.test`; the deliveries show what became of it."""
    with _told():
        event = await service_of(request).app.webhooks.test(webhook_id, tenant=identity.tenant)
    return json_response({"event_id": event}, 202)


@of_tenants.get(
    "/{webhook_id}/deliveries",
    operation_id="list_deliveries",
    response_model=DeliveryPage,
    responses=responses(*READING, "NOT_FOUND", malformed=True),
)
async def list_webhook_deliveries(
    request: Request,
    identity: TenantAdmin,
    webhook_id: WebhookId,
    wanted: Annotated[DeliveryQuery, Query()],
) -> Response:
    """What was sent to a webhook and what waits for it, newest first."""
    with _told():
        async with reading(request, identity) as connection:
            await find_webhook(connection, webhook_id, identity.tenant)
            return await _page(connection, webhook_id, wanted)


@of_jobs.get(
    "/{job_id}/deliveries",
    operation_id="list_job_deliveries",
    response_model=DeliveryPage,
    responses=responses(*READING, "NOT_FOUND", malformed=True),
)
async def list_job_deliveries(
    request: Request,
    identity: Reader,
    job_id: OwnedJob,
    wanted: Annotated[DeliveryQuery, Query()],
) -> Response:
    """What was sent to the webhook that a job was submitted with, and what waits for it."""
    async with reading(request, identity) as connection:
        return await _page(connection, job_id, wanted)


async def _page(connection: HeldConnection, webhook: UUID, wanted: DeliveryQuery) -> Response:
    found = await list_deliveries(connection, webhook, before=wanted.cursor, limit=wanted.limit + 1)
    page = found[: wanted.limit]
    return json_response(
        {
            "items": [delivery_view(delivery) for delivery in page],
            "limit": wanted.limit,
            "next": page[-1].id if len(found) > wanted.limit else None,
        }
    )


def _by(request: Request, identity: Identity) -> dict[str, Any]:
    return {
        "tenant": identity.tenant,
        "by": identity.subject,
        "request_id": request.scope.get(REQUEST_ID),
    }


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """What the room of webhooks refuses, as problems."""
    try:
        yield
    except WebhookNotFoundError:
        raise not_found("webhook") from None
    except ConflictError as error:
        raise ProblemError("CONFLICT", str(error)) from None


for part in (of_tenants, repeatable, of_jobs):
    router.include_router(part)
