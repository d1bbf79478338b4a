"""`headrace webhooks`: who is told by HTTP of what happens to jobs."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID

import typer

from headrace.cli.asking import actor, ask
from headrace.cli.options import Limit
from headrace.cli.output import Json, print_json, print_table

if TYPE_CHECKING:
    from headrace.app import Headrace
    from headrace.store.webhooks import Webhook

group = typer.Typer(
    help="Have addresses told of what happens to jobs, signed.", rich_markup_mode=None
)

Tenant = Annotated[str, typer.Option("--tenant", help="Of whose jobs.")]
Id = Annotated[str, typer.Argument(metavar="WEBHOOK", help="Its id, as `list` shows it.")]
COLUMNS: Final = ("id", "url", "events", "owner", "state", "created_at", "disabled_reason")
OF_DELIVERIES: Final = (
    "event_id", "kind", "job", "state", "attempts", "due_at", "sent_at", "last_error",
)  # fmt: skip


@group.command()
def create(
    url: Annotated[str, typer.Argument(metavar="URL", help="An https address of a public host.")],
    *,
    tenant: Tenant = "default",
    owner: Annotated[
        str | None, typer.Option("--owner", help="Only of the jobs of this owner.")
    ] = None,
    events: Annotated[
        str, typer.Option("--events", metavar="NAMES", help="Of what, with commas between them.")
    ] = "job.completed,job.failed,job.cancelled",
    as_json: Json = False,
) -> None:
    """Have an address told, and print its secret: it is shown this once."""
    from headrace.client.options import check_text

    check_text("--tenant", tenant)
    if owner is not None:
        check_text("--owner", owner)
    wanted = [name.strip() for name in events.split(",")]

    async def make(app: Headrace) -> tuple[str, Webhook]:
        return await app.webhooks.create(url, tenant=tenant, owner=owner, events=wanted, by=actor())

    _print_secret(*ask(make), as_json=as_json)


@group.command("list")
def list_(tenant: Tenant = "default", as_json: Json = False) -> None:
    """List the webhooks of a tenant, the newest first; those of single jobs are not among them."""
    rows = [_row(webhook) for webhook in ask(lambda app: app.webhooks.all_of(tenant))]
    if as_json:
        print_json(rows)
    else:
        print_table(rows, COLUMNS)


@group.command()
def rotate(
    webhook: Id,
    *,
    tenant: Tenant = "default",
    overlap: Annotated[
        str,
        typer.Option("--overlap", metavar="TIME", help="So long both secrets are good: 0s to 7d."),
    ] = "1d",
    as_json: Json = False,
) -> None:
    """Make another secret, and print it: it is shown this once."""
    from headrace.cli.parsing import read_seconds

    both = timedelta(seconds=read_seconds("--overlap", overlap) or 0)
    wanted = _id(webhook)
    made = ask(lambda app: app.webhooks.rotate(wanted, tenant=tenant, overlap=both, by=actor()))
    _print_secret(*made, as_json=as_json)


@group.command()
def enable(webhook: Id, tenant: Tenant = "default") -> None:
    """Tell a webhook again what happens from now on, after it was disabled."""
    wanted = _id(webhook)
    ask(lambda app: app.webhooks.enable(wanted, tenant=tenant, by=actor()))
    typer.echo(f"{wanted} is enabled")


@group.command()
def delete(webhook: Id, tenant: Tenant = "default") -> None:
    """Remove a webhook, with all that waits for it."""
    wanted = _id(webhook)
    ask(lambda app: app.webhooks.delete(wanted, tenant=tenant, by=actor()))
    typer.echo(f"{wanted} is deleted")


@group.command("test")
def send_test(webhook: Id, tenant: Tenant = "default") -> None:
    """Send a webhook an event that says nothing; `deliveries` shows what became of it."""
    wanted = _id(webhook)
    event = ask(lambda app: app.webhooks.test(wanted, tenant=tenant))
    typer.echo(f"{event} is on its way")


@group.command()
def deliveries(
    webhook: Id, *, tenant: Tenant = "default", limit: Limit = 30, as_json: Json = False
) -> None:
    """List what was sent to a webhook and what waits for it, the newest first.

    The webhook that a job was submitted with has the id of the job.
    """
    wanted = _id(webhook)
    found = ask(lambda app: app.webhooks.deliveries(wanted, tenant=tenant, limit=limit))
    rows = [
        {**{name: getattr(one, name) for name in OF_DELIVERIES}, "created_at": one.created_at}
        for one in found
    ]
    if as_json:
        print_json(rows)
    else:
        print_table(rows, OF_DELIVERIES)


def _id(text: str) -> UUID:
    from headrace.store.webhooks import WebhookNotFoundError

    try:
        return UUID(text)
    except ValueError:
        raise WebhookNotFoundError(text) from None


def _print_secret(secret: str, webhook: Webhook, *, as_json: bool) -> None:
    if as_json:
        print_json({"secret": secret, **_row(webhook)})
        return
    typer.echo(secret)
    typer.echo(
        f"{webhook.id} signs what it sends to {webhook.url} with it. "
        "Keep it now: it is not shown again.",
        err=True,
    )


def _row(webhook: Webhook) -> dict[str, Any]:
    from dataclasses import asdict

    return {**asdict(webhook), "state": webhook.state}
