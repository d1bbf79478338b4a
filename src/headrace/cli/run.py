"""`headrace run`: submits one job, follows it and prints its result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from headrace.cli.exits import ExitCode
from headrace.cli.options import Api, AppOption
from headrace.cli.output import Json, print_json
from headrace.cli.running import run_async
from headrace.cli.submit import (
    ConcurrencyKey,
    Deadline,
    Due,
    Input,
    Key,
    OrderingKey,
    Owner,
    Parameters,
    PipelineName,
    Preset,
    Priority,
    Submission,
    Tenant,
)

if TYPE_CHECKING:
    from headrace.app import Headrace
    from headrace.cli.live import Style
    from headrace.cli.remote import RemoteApp
    from headrace.model.pipeline import Pipeline
    from headrace.remote import RemoteJob


def run(
    pipeline: PipelineName,
    value: Input,
    *,
    app: AppOption = None,
    key: Key = None,
    priority: Priority = "normal",
    due: Due = None,
    deadline: Deadline = None,
    preset: Preset = None,
    parameters: Parameters = None,
    tenant: Tenant = "default",
    owner: Owner = "default",
    ordering_key: OrderingKey = None,
    concurrency_key: ConcurrencyKey = None,
    timeout: Annotated[
        str | None, typer.Option("--timeout", metavar="TIME", help="Wait so long: 90s, 10m.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    as_json: Json = False,
    api: Api = None,
) -> None:
    """Submit a job, show how it goes, and print its result: as JSON, or as its type tells it.

    Where no worker is alive that carries the pipeline, one runs in this process meanwhile; not for
    an API, which has its own.
    """
    from headrace.cli.parsing import read_seconds
    from headrace.cli.remote import check_alone
    from headrace.cli.shipped import load_app_for

    check_alone(api, app)

    submission = Submission(
        pipeline, value, key, priority, due, deadline, preset, parameters, tenant, owner,
        ordering_key, concurrency_key,
    )  # fmt: skip
    timeout_s = read_seconds("--timeout", timeout)
    if api is not None:
        asked = _run_at(api, submission, timeout_s, quiet=quiet, as_json=as_json)
        raise typer.Exit(run_async(asked))
    loaded = load_app_for(app, pipeline)
    raise typer.Exit(run_async(_run(loaded, submission, timeout_s, quiet=quiet, as_json=as_json)))


async def _run(
    app: Headrace,
    submission: Submission,
    timeout_s: float | None,
    *,
    quiet: bool,
    as_json: bool,
) -> ExitCode:
    async with app:
        handle = await submission.send(app)
        return await follow_to_result(
            app,
            handle.id,
            app.pipeline(submission.pipeline),
            timeout_s=timeout_s,
            quiet=quiet,
            as_json=as_json,
        )


async def follow_to_result(
    app: Headrace,
    job: str,
    pipeline: Pipeline[Any, Any],
    *,
    timeout_s: float | None,
    quiet: bool,
    as_json: bool,
) -> ExitCode:
    """Show how a job goes, run it where nobody else does, and print its result."""
    from headrace.cli.live import watch_to_exit
    from headrace.cli.standing_in import worker_for

    style: Style = "none" if quiet else "auto"
    async with worker_for(app, pipeline):
        code = await watch_to_exit(app, job, timeout_s=timeout_s, style=style)
    if code is ExitCode.DONE:
        await _print_result(app, job, as_json=as_json)
    return code


async def _run_at(
    api: str, submission: Submission, timeout_s: float | None, *, quiet: bool, as_json: bool
) -> ExitCode:
    from headrace.cli.remote import remote_app

    async with remote_app(api) as app:
        job = await submission.send_to(app.client)
        return await follow_at(
            app, job, submission.pipeline, timeout_s=timeout_s, quiet=quiet, as_json=as_json
        )


async def follow_at(
    app: RemoteApp,
    job: RemoteJob[Any],
    pipeline: str,
    *,
    timeout_s: float | None,
    quiet: bool,
    as_json: bool,
) -> ExitCode:
    """Show how a job at an API goes, and print its result."""
    from headrace.cli.live import watch_to_exit
    from headrace.cli.shipped import result_text

    style: Style = "none" if quiet else "auto"
    code = await watch_to_exit(cast("Headrace", app), job.id, timeout_s=timeout_s, style=style)
    if code is ExitCode.DONE:
        result = await job.result()
        text = None if as_json else result_text(pipeline, result)
        print_json(result) if text is None else typer.echo(text)
    return code


async def _print_result(app: Headrace, job: str, *, as_json: bool) -> None:
    """Print what the `as_text()` of a result says, where its type has one; else what is stored."""
    import json

    value = await app.job(job).result()
    if hasattr(value, "as_text") and not as_json:
        typer.echo(value.as_text())
        return
    status = await app.status(job)
    print_json(json.loads(app.pipeline(status.pipeline).result.encode(value)))
