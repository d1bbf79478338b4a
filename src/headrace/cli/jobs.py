"""`headrace jobs`: look at jobs, and act on them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headrace.cli.asking import actor, ask
from headrace.cli.exits import ExitCode, exit_code_of
from headrace.cli.options import Api, Cursor, Force, FromStep, Limit, Reason, Since
from headrace.cli.output import Json, print_json, print_page, print_table, text_of
from headrace.cli.signals import send, signals

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from headrace.app import Headrace
    from headrace.cli.live import Style
    from headrace.client.status import JobStatus
    from headrace.errors import HeadraceError
    from headrace.model.status import StepStatus
    from headrace.store.reads import HistoryEntry

group = typer.Typer(help="Look at jobs, and act on them.", rich_markup_mode=None)

JobId = Annotated[str, typer.Argument(metavar="JOB", help="Id of a job.")]
JobIds = Annotated[list[str], typer.Argument(metavar="JOB...", help="Ids of jobs.")]
COLUMNS = (
    *("id", "pipeline", "version", "queue", "state", "run", "cause", "blocked_by", "undo_of"),
    "created_at",
    "input",
)


@group.command("list")
def list_(
    *,
    state: Annotated[
        list[str] | None, typer.Option("--state", help="In this state; may be repeated.")
    ] = None,
    pipeline: Annotated[str | None, typer.Option("--pipeline", help="Of this pipeline.")] = None,
    queue: Annotated[str | None, typer.Option("--queue", help="In this queue.")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Of this customer.")] = None,
    owner: Annotated[str | None, typer.Option("--owner", help="Of this user.")] = None,
    cause: Annotated[str | None, typer.Option("--cause", help="Failed for this cause.")] = None,
    wait_reason: Annotated[
        str | None, typer.Option("--wait-reason", help="Queued for this reason.")
    ] = None,
    correlation_id: Annotated[
        str | None, typer.Option("--correlation-id", help="With this correlation id.")
    ] = None,
    parent: Annotated[
        str | None, typer.Option("--parent", metavar="JOB", help="Submitted by this job's steps.")
    ] = None,
    since: Since = None,
    limit: Limit = 30,
    cursor: Cursor = None,
    api: Api = None,
    as_json: Json = False,
) -> None:
    """List jobs, newest first."""
    from headrace.cli.parsing import read_id, read_since, read_states
    from headrace.store.reads import JobFilter

    wanted = JobFilter(
        tenant=tenant,
        owner=owner,
        states=read_states(state),
        pipeline=pipeline,
        queue=queue,
        cause=cause,
        wait_reason=wait_reason,
        correlation_id=correlation_id,
        parent_job=read_id("--parent", parent),
        created_since=read_since("--since", since),
    )

    async def find(app: Headrace) -> Any:  # noqa: ANN401 - a page
        return await app.list_jobs(wanted, limit=limit, cursor=cursor)

    print_page(ask(find, api), COLUMNS, {"input": "input_preview"}, as_json=as_json)


@group.command()
def show(
    job: JobId,
    result: Annotated[
        bool, typer.Option("--result", help="Print the result of a completed job, and no more.")
    ] = False,
    api: Api = None,
    as_json: Json = False,
) -> None:
    """Show a job with its steps and its history."""
    if result:
        print_json(ask(lambda app: _result(app, job), api))
        return
    status, history = ask(lambda app: _look(app, job), api)
    if as_json:
        print_json({"job": status, "history": history})
        return
    _print_job(status)
    _print_history(history)


async def _result(app: Headrace, job: str) -> Any:  # noqa: ANN401 - JSON
    from headrace.errors import NotCompletedError

    status = await app.status(job)
    if not status.is_final:
        raise NotCompletedError(job, status.state)
    return await app.job(job).result()


async def _look(app: Headrace, job: str) -> tuple[JobStatus, list[HistoryEntry]]:
    return await app.status(job), await app.history(job)


def _print_job(status: JobStatus) -> None:
    from headrace.cli.live import describe_job

    typer.echo(f"{status.pipeline} {status.version}  {status.id}  {describe_job(status)}")
    for name in (
        "queue", "priority", "tenant", "owner", "worker", "preset", "parameters", "metadata",
        "correlation_id", "idempotency_key", "ordering_key", "concurrency_key", "parent_job",
        "undo_of", "deadline", "cancelled_by",
        "cancel_reason", "created_at", "started_at", "finished_at",
    ):  # fmt: skip
        value = getattr(status, name, None)  # an API tells less
        if value is not None:
            typer.echo(f"  {name.replace('_', ' '):<16} {text_of(value)}")
    rows = [row for step in status.steps for row in _rows_of(status, step)]
    typer.echo()
    columns = (
        ("step", "state", "metadata")
        if any(row.get("metadata") for row in rows)
        else ("step", "state")
    )
    print_table(rows, columns, empty="no steps")
    _print_around(status)
    if status.undo is not None:
        typer.echo(f"\nundone by {status.undo.job_id}  {status.undo.state}")
        undone = [{"step": step.name, "undo": step.state} for step in status.undo.steps]
        print_table(undone, ("step", "undo"))


def _rows_of(status: JobStatus, step: StepStatus) -> Iterator[dict[str, Any]]:
    """A step, and those of its items that failed for good."""
    from headrace.cli.live import describe_item, describe_step, failed_items, waits_of

    state = describe_step(step, waits_of(status, step))
    yield {"step": step.name, "state": state, "metadata": getattr(step, "metadata", None)}
    for item in failed_items(step):
        yield {"step": f"{step.name}/{item.key}", "state": describe_item(item)}


def _print_around(status: JobStatus) -> None:
    """What was sent to the job, and the jobs that its steps submitted."""
    if status.signals:
        typer.echo()
        print_table(
            [
                {"signal": one.name, "state": one.state, "at": one.at, "by": one.by}
                for one in status.signals
            ],
            ("signal", "state", "at", "by"),
        )
    if status.children:
        typer.echo()
        print_table(
            [
                {"child": child.id, "pipeline": child.pipeline, "state": child.state}
                for child in status.children
            ],
            ("child", "pipeline", "state"),
        )
        more = status.children_total - len(status.children)
        if more > 0:
            typer.echo(f"and {more} more: headrace jobs list --parent {status.id}")


def _print_history(history: list[HistoryEntry]) -> None:
    rows = [
        {
            "at": entry.at,
            "run": entry.run,
            "state": entry.to_state,
            "reason": entry.reason,
            "worker": entry.worker,
            "actor": entry.actor,
        }
        for entry in history
    ]
    typer.echo()
    print_table(rows, ("at", "run", "state", "reason", "worker", "actor"))


@group.command()
def watch(
    job: JobId,
    timeout: Annotated[
        str | None, typer.Option("--timeout", metavar="TIME", help="For how long: 90s, 10m.")
    ] = None,
    api: Api = None,
    as_json: Json = False,
) -> None:
    """Show a job as it goes, until it has ended; the exit code tells how."""
    from headrace.cli.live import watch_to_exit
    from headrace.cli.parsing import read_seconds

    timeout_s = read_seconds("--timeout", timeout)
    style: Style = "json" if as_json else "auto"
    code = ask(
        lambda app: watch_to_exit(app, job, timeout_s=timeout_s, stream=sys.stdout, style=style),
        api,
    )
    raise typer.Exit(code)


@group.command()
def cancel(jobs: JobIds, reason: Reason = None, api: Api = None) -> None:
    """Cancel jobs: queued ones at once, running ones within seconds."""

    async def act(app: Headrace, job: str) -> str:
        state = await app.cancel(job, reason=reason, actor=actor())
        return "cancelled" if state == "cancelled" else "is being cancelled"

    _act_on(jobs, act, api)


@group.command()
def retry(
    jobs: JobIds,
    from_step: FromStep = None,
    force: Force = False,
    reason: Reason = None,
    api: Api = None,
) -> None:
    """Run failed or cancelled jobs again; stored outputs are used again."""

    async def act(app: Headrace, job: str) -> str:
        run = await app.retry(job, from_step=from_step, force=force, reason=reason, actor=actor())
        return f"is queued for run {run}"

    _act_on(jobs, act, api)


@group.command()
def replay(
    jobs: JobIds,
    from_step: FromStep = None,
    force: Force = False,
    reason: Reason = None,
    api: Api = None,
) -> None:
    """Run completed jobs again from a step, or (--force) from the beginning."""

    async def act(app: Headrace, job: str) -> str:
        run = await app.replay(job, from_step=from_step, force=force, reason=reason, actor=actor())
        return f"is queued for run {run}"

    _act_on(jobs, act, api)


def _act_on(
    jobs: list[str], act: Callable[[Headrace, str], Awaitable[str]], api: str | None
) -> None:
    """Do something with each job and tell of it; the exit code is that of the first error."""
    from headrace.errors import ConflictError, NotFoundError

    async def act_on_all(app: Headrace) -> ExitCode:
        code = ExitCode.DONE
        for job in jobs:
            try:
                typer.echo(f"{job} {await act(app, job)}")
            except (ConflictError, NotFoundError) as error:
                typer.echo(f"headrace: job {job}: {error}{_advice(error)}", err=True)
                code = code or exit_code_of(error)
        return code

    raise typer.Exit(ask(act_on_all, api))


def _advice(error: HeadraceError) -> str:
    """What to do instead, where the job's state does not allow what was asked."""
    from headrace.errors import TransitionError

    if not isinstance(error, TransitionError):
        return ""
    instead = {
        ("completed", "retried"): "use headrace jobs replay",
        ("failed", "replayed"): "use headrace jobs retry",
        ("cancelled", "replayed"): "use headrace jobs retry",
        ("queued", "retried"): "wait for it, or headrace jobs cancel first",
        ("running", "retried"): "wait for it, or headrace jobs cancel first",
        ("queued", "replayed"): "wait for it: headrace jobs watch",
        ("running", "replayed"): "wait for it: headrace jobs watch",
    }.get((error.state, error.event))
    return f"; {instead}" if instead else ""


group.command()(send)
group.command()(signals)
