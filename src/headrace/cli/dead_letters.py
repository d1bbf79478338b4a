"""`headrace dead-letters`: runs that failed, and giving them another."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from headrace.cli.asking import actor, ask
from headrace.cli.options import Api, Cursor, Force, FromStep, Limit, Reason, Since
from headrace.cli.output import Json, print_json, print_page

if TYPE_CHECKING:
    from headrace.app import Headrace
    from headrace.client.operations import Redriven
    from headrace.store.reads import DeadLetterFilter

group = typer.Typer(help="Runs that failed, and giving them another.", rich_markup_mode=None)

Pipeline = Annotated[str | None, typer.Option("--pipeline", help="Of this pipeline.")]
Tenant = Annotated[str | None, typer.Option("--tenant", help="Of this customer.")]
Cause = Annotated[
    str | None, typer.Option("--cause", help="Failed for this cause, as attempts_exhausted.")
]
Code = Annotated[str | None, typer.Option("--code", help="With this error code.")]
Text = Annotated[str | None, typer.Option("--text", help="With this in the message, in any case.")]

COLUMNS: Final = ("job", "run", "pipeline", "version", "cause", "step", "failed_at", "message")


@group.command("list")
def list_(
    *,
    pipeline: Pipeline = None,
    tenant: Tenant = None,
    cause: Cause = None,
    code: Code = None,
    text: Text = None,
    since: Since = None,
    limit: Limit = 30,
    cursor: Cursor = None,
    api: Api = None,
    as_json: Json = False,
) -> None:
    """List failed runs that nobody has redriven, newest first."""
    wanted = _filter(
        [], pipeline=pipeline, tenant=tenant, cause=cause, code=code, text=text, since=since
    )

    async def find(app: Headrace) -> Any:  # noqa: ANN401 - a page
        return await app.list_dead_letters(wanted, limit=limit, cursor=cursor)

    print_page(ask(find, api), COLUMNS, {}, as_json=as_json)


@group.command()
def show(
    job: Annotated[str, typer.Argument(metavar="JOB", help="Id of a failed job.")],
    api: Api = None,
    as_json: Json = False,
) -> None:
    """Show a dead letter: why the job failed, where, after how many tries."""
    from headrace.cli.output import text_of
    from headrace.errors import JobNotFoundError

    letters = ask(lambda app: app.list_dead_letters(_filter([job])), api).items
    if not letters:
        raise JobNotFoundError(f"{job} among the dead letters")
    if as_json:
        print_json(letters[0])
        return
    for name in (
        "job", "run", "pipeline", "version", "queue", "tenant", "owner", "cause", "code",
        "error_class", "message", "step", "item", "attempts", "lease_losses", "correlation_id",
        "failed_at",
    ):  # fmt: skip
        value = getattr(letters[0], name, None)  # an API tells less
        if value is not None:
            typer.echo(f"{name.replace('_', ' '):<16} {text_of(value)}")


@group.command()
def redrive(
    jobs: Annotated[
        list[str] | None, typer.Argument(metavar="[JOB]...", help="Ids of failed jobs.")
    ] = None,
    *,
    pipeline: Pipeline = None,
    tenant: Tenant = None,
    cause: Cause = None,
    code: Code = None,
    text: Text = None,
    since: Since = None,
    everything: Annotated[bool, typer.Option("--all", help="Whatever failed.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count them.")] = False,
    rate: Annotated[
        float, typer.Option("--rate", min=1, max=1_000, help="Most jobs a second.")
    ] = 10,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1_000, help="Most jobs.")] = 1_000,
    from_step: FromStep = None,
    force: Force = False,
    reason: Reason = None,
    api: Api = None,
    as_json: Json = False,
) -> None:
    """Run failed jobs again, the newest first: those named, or those that the filters match."""
    from headrace.errors import OptionError

    if not (jobs or everything or any((pipeline, tenant, cause, code, text, since))):
        raise OptionError("JOB", "name jobs, give a filter, or --all")
    wanted = _filter(
        jobs or [],
        pipeline=pipeline,
        tenant=tenant,
        cause=cause,
        code=code,
        text=text,
        since=since,
    )
    plan = _Plan(wanted, limit=limit, rate=rate, from_step=from_step, force=force, reason=reason)
    outcome = ask(plan.count if dry_run else plan.redrive, api)
    _print_outcome(outcome, dry_run=dry_run, as_json=as_json)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """A redrive, one second's jobs at a time, so that it can be followed and interrupted."""

    wanted: DeadLetterFilter = field(kw_only=False)
    limit: int
    rate: float
    from_step: str | None
    force: bool
    reason: str | None

    async def count(self, app: Headrace) -> Redriven:
        """What would be redriven."""
        return await app.redrive(self.wanted, dry_run=True, limit=self.limit)

    async def redrive(self, app: Headrace) -> Redriven:
        """Do it, with a progress bar where it takes longer than a second."""
        import asyncio

        from headrace.cli.progress import progress
        from headrace.client.operations import Redriven

        found = (await app.list_dead_letters(self.wanted, limit=self.limit)).items
        jobs = [letter.job for letter in found]
        portion = max(1, int(self.rate))
        runs: dict[str, int] = {}
        with progress("redriving", len(jobs), shown=len(jobs) > portion) as advance:
            for first in range(0, len(jobs), portion):
                if first:
                    await asyncio.sleep(1 / self.rate)
                part = jobs[first : first + portion]
                runs.update((await self._redrive(app, part)).runs)
                advance(len(part))
        return Redriven(len(jobs), runs, len(jobs) - len(runs))

    async def _redrive(self, app: Headrace, jobs: list[str]) -> Redriven:
        return await app.redrive(
            _filter(jobs),
            limit=len(jobs),
            per_second=self.rate,
            from_step=self.from_step,
            force=self.force,
            reason=self.reason,
            actor=actor(),
        )


def _print_outcome(outcome: Redriven, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        print_json(outcome)
        return
    if dry_run:
        typer.echo(f"{outcome.matched} jobs would be queued again")
        return
    for job, run in outcome.runs.items():
        typer.echo(f"{job} is queued for run {run}")
    if outcome.skipped:
        typer.echo(f"{outcome.skipped} jobs were restarted or erased meanwhile", err=True)
    if not outcome.matched:
        typer.echo("no dead letter matches", err=True)


def _filter(
    jobs: list[str],
    *,
    pipeline: str | None = None,
    tenant: str | None = None,
    cause: str | None = None,
    code: str | None = None,
    text: str | None = None,
    since: str | None = None,
) -> DeadLetterFilter:
    from headrace.cli.parsing import read_since
    from headrace.client.submission import parse_id
    from headrace.store.reads import DeadLetterFilter

    return DeadLetterFilter(
        tenant=tenant,
        pipeline=pipeline,
        cause=cause,
        code=code,
        failed_since=read_since("--since", since),
        text=text,
        jobs=[parse_id(job) for job in jobs] or None,
    )
