"""`headrace operations`: what was done once for a tenant, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from headrace.cli.asking import actor, ask
from headrace.cli.options import Limit, Reason
from headrace.cli.output import Json, print_json, print_table, text_of

if TYPE_CHECKING:
    from uuid import UUID

    from headrace.app import Headrace
    from headrace.store.idempotency import OperationRecord

group = typer.Typer(
    help="Look at what was done once for a tenant, and free keys.", rich_markup_mode=None
)

Key = Annotated[str, typer.Argument(metavar="KEY", help="As `list` shows it.")]
Tenant = Annotated[str, typer.Option("--tenant", help="Whose key it is.")]
COLUMNS: Final = (
    "key", "tenant", "operation", "state", "takeovers", "job", "worker", "created_at", "expires_at",
)  # fmt: skip
FIELDS: Final = (
    "key", "tenant", "operation", "input_hash", "state", "takeovers", "job", "run", "step", "item",
    "worker", "created_at", "renewed_at", "completed_at", "expires_at", "output", "artifact",
    "error",
)  # fmt: skip


@group.command("list")
def list_(
    *,
    job: Annotated[str | None, typer.Option("--job", help="Begun by this job.")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Of this customer.")] = None,
    state: Annotated[
        str | None, typer.Option("--state", help="pending, completed or failed.")
    ] = None,
    limit: Limit = 30,
    as_json: Json = False,
) -> None:
    """List operations, those that began last first."""
    from headrace.store.idempotency import list_operations

    _check_state(state)
    begun_by = _job_id(job)

    async def find(app: Headrace) -> list[OperationRecord]:
        async with app.connection() as connection:
            return await list_operations(
                connection, tenant=tenant, job=begun_by, state=state, limit=limit
            )

    rows = [_row(record) for record in ask(find)]
    if as_json:
        print_json(rows)
    else:
        print_table(rows, COLUMNS)


@group.command()
def show(key: Key, tenant: Tenant = "default", as_json: Json = False) -> None:
    """Show an operation, with its outcome."""

    async def find(app: Headrace) -> OperationRecord:
        from headrace.store.idempotency import read_operation

        async with app.connection() as connection:
            return await read_operation(connection, tenant, key)

    row = _row(ask(find))
    if as_json:
        print_json(row)
        return
    for name in FIELDS:
        if row[name] is not None:
            typer.echo(f"{name.replace('_', ' '):<13} {text_of(row[name])}")


@group.command()
def forget(
    key: Key,
    *,
    tenant: Tenant = "default",
    force: Annotated[
        bool, typer.Option("--force", help="Also while it is pending: it may be done twice.")
    ] = False,
    reason: Reason = None,
) -> None:
    """Free a key: the next call under it is carried out, whatever came of the last one."""

    async def free(app: Headrace) -> str:
        from headrace.store.audit import Action, record_action
        from headrace.store.idempotency import forget_operation

        async with app.connection() as connection, connection.transaction():
            state = await forget_operation(connection, tenant, key, force=force)
            done = Action(actor(), "operation.forget", f"{tenant}/{key}", reason, before=state)
            await record_action(connection, done)
        return state

    typer.echo(f"{key} is forgotten; it was {ask(free)}")


def _check_state(given: str | None) -> None:
    from headrace.errors import OptionError
    from headrace.store.idempotency import STATES

    if given is not None and given not in STATES:
        raise OptionError("--state", f"{given!r} is none of {', '.join(STATES)}")


def _job_id(given: str | None) -> UUID | None:
    from uuid import UUID

    from headrace.errors import JobNotFoundError

    try:
        return None if given is None else UUID(given)
    except ValueError:
        raise JobNotFoundError(given) from None


def _row(record: OperationRecord) -> dict[str, Any]:
    from dataclasses import asdict

    return {**asdict(record), "input_hash": record.input_hash.hex()}
