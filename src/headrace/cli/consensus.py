"""`headrace consensus`: ideas to try it with, revisions of reviews, what differs between two."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import typer

from headrace.cli.asking import actor
from headrace.cli.options import Api
from headrace.cli.output import Json, print_json, print_table, text_of
from headrace.cli.running import run_async
from headrace.cli.shipped import load_app_for
from headrace.cli.submit import Key, Owner, Tenant
from headrace.errors import OptionError

if TYPE_CHECKING:
    from headrace.cli.exits import ExitCode
    from headrace.pipelines.consensus import Edit, JobDiff

group = typer.Typer(
    help="Ideas that are reviewed: `headrace run consensus` reviews one.",
    rich_markup_mode=None,
    no_args_is_help=True,
)

PIPELINE: Final = "consensus"
ConsensusApp = Annotated[
    str | None,
    typer.Option(
        "--app",
        metavar="APP",
        help="module:attribute of a Headrace object that carries `consensus`; that of "
        "[tool.headrace] in pyproject.toml if it does, else the one that headrace brings.",
    ),
]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="Id of a job of `consensus`.")]


class _Revision(NamedTuple):
    """What is revised, and how."""

    job: str
    edit: Edit
    key: str | None
    tenant: str
    owner: str


class _Shown(NamedTuple):
    """What is shown of it."""

    timeout_s: float | None
    quiet: bool
    as_json: bool


@group.command()
def ideas(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[FOLDER]", help="Write them there, as files.")
    ] = None,
) -> None:
    """Print the ideas that headrace brings, or write them to a folder."""
    from headrace.pipelines.consensus import sample_ideas

    for name, text in sample_ideas().items():
        if folder is None:
            typer.echo(f"{name}: {text}")
            continue
        path = folder / f"{name}.md"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise OptionError("FOLDER", f"{path} cannot be written: {error.strerror}") from error
        typer.echo(str(path))


@group.command()
def revise(
    job: JobId,
    *,
    proposal: Annotated[
        str | None,
        typer.Option(
            "--proposal",
            metavar="PROPOSAL",
            help="As it should be: JSON with the fields that change, a FILE or @FILE that holds "
            "it, or plain text, which is the proposed solution.",
        ),
    ] = None,
    notes: Annotated[str | None, typer.Option("--notes", help="What is to be changed.")] = None,
    persona: Annotated[
        list[str] | None,
        typer.Option("--persona", metavar="ID", help="Reviews again; can be repeated."),
    ] = None,
    nobody: Annotated[
        bool, typer.Option("--nobody", help="Nobody reviews again, and no model is asked.")
    ] = False,
    app: ConsensusApp = None,
    key: Key = None,
    tenant: Tenant = "default",
    owner: Owner = "default",
    timeout: Annotated[
        str | None, typer.Option("--timeout", metavar="TIME", help="Wait so long: 90s, 10m.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    api: Api = None,
    as_json: Json = False,
) -> None:
    """Review a completed job's proposal again, with changes, as a new job; print its result.

    Without --persona and --nobody those review again whose confidence was below 0.70 or who had a
    blocking issue. The other reviews are taken over, and cost nothing.
    """
    from headrace.cli.parsing import read_seconds
    from headrace.cli.remote import check_alone
    from headrace.pipelines.consensus import Edit

    check_alone(api, app)
    if persona and nobody:
        raise OptionError("--nobody", "somebody is named by --persona: leave one of them out")
    edit = Edit(
        proposal=None if proposal is None else _read_proposal(proposal),
        notes=notes,
        personas=[] if nobody else persona or None,
    )
    timeout_s = read_seconds("--timeout", timeout)
    revision = _Revision(job, edit, key, tenant, owner)
    shown = _Shown(timeout_s, quiet, as_json)
    raise typer.Exit(
        run_async(
            _revise(app, revision, shown) if api is None else _revise_at(api, revision, shown)
        )
    )


@group.command()
def diff(
    job: JobId,
    other: Annotated[str, typer.Argument(metavar="OTHER", help="The job that it is held against.")],
    *,
    app: ConsensusApp = None,
    tenant: Tenant = "default",
    owner: Owner = "default",
    api: Api = None,
    as_json: Json = False,
) -> None:
    """Show what differs between two jobs: JOB is before, OTHER after. No model is asked."""
    from headrace.cli.remote import check_alone

    check_alone(api, app)
    whose = (tenant, owner)
    found = run_async(
        _diff(app, job, other, whose) if api is None else _diff_at(api, job, other, whose)
    )
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        _print_diff(found)


# --- inside ---------------------------------------------------------------------------------------


async def _revise(given: str | None, revision: _Revision, shown: _Shown) -> ExitCode:
    from headrace.cli.run import follow_to_result
    from headrace.pipelines.consensus import Reviews

    app = load_app_for(given, PIPELINE)
    async with app:
        revised = await Reviews(app).revise(
            revision.job,
            revision.edit,
            tenant=revision.tenant,
            owner=revision.owner,
            actor=actor(),
            idempotency_key=revision.key,
        )
        _tell(revised.personas_rerun, shown)
        return await follow_to_result(
            app,
            revised.job.id,
            app.pipeline(PIPELINE),
            timeout_s=shown.timeout_s,
            quiet=shown.quiet,
            as_json=shown.as_json,
        )


async def _revise_at(api: str, revision: _Revision, shown: _Shown) -> ExitCode:
    from headrace.cli.remote import refuse_local, remote_app
    from headrace.cli.run import follow_at

    refuse_local({"--tenant": revision.tenant, "--owner": revision.owner})
    async with remote_app(api) as app:
        revised = await app.client.reviews.revise(
            revision.job,
            edited_proposal=revision.edit.proposal,
            edit_notes=revision.edit.notes,
            personas=revision.edit.personas,
            idempotency_key=revision.key,
        )
        _tell(revised.personas_rerun, shown)
        return await follow_at(
            app,
            app.client.job(revised.job_id),
            PIPELINE,
            timeout_s=shown.timeout_s,
            quiet=shown.quiet,
            as_json=shown.as_json,
        )


def _tell(again: list[str], shown: _Shown) -> None:
    if not shown.quiet:
        typer.echo(f"headrace: {', '.join(again) or 'nobody'} will review again", err=True)


async def _diff_at(api: str, job: str, other: str, whose: tuple[str, str]) -> JobDiff:
    from headrace.cli.remote import refuse_local, remote_app
    from headrace.pipelines.consensus import JobDiff

    refuse_local({"--tenant": whose[0], "--owner": whose[1]})
    async with remote_app(api) as app:
        return JobDiff.model_validate(await app.client.reviews.diff(job, other))


async def _diff(given: str | None, job: str, other: str, whose: tuple[str, str]) -> JobDiff:
    from headrace.pipelines.consensus import Reviews

    tenant, owner = whose
    async with load_app_for(given, PIPELINE) as app:
        return await Reviews(app).diff(job, other, tenant=tenant, owner=owner)


def _read_proposal(given: str) -> Any:  # noqa: ANN401 - JSON
    import json

    from headrace.cli.parsing import PATH, read_text

    text = read_text("--proposal", given)
    if text == given and PATH.fullmatch(given):
        raise OptionError("--proposal", f"{given[:200]!r} is no file, and no JSON")
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, dict) else text


def _print_diff(found: JobDiff) -> None:
    typer.echo(f"{found.other} is {_RELATIONS[found.relationship.value]} {found.job}")
    decision = found.decision
    before, after = decision.decision_before, decision.decision_after
    typer.echo(
        f"{before or 'no decision'} {_number(decision.confidence_before)}"
        f" -> {after or 'no decision'} {_number(decision.confidence_after)}".replace("  ", " ")
    )
    rows = [
        {
            "persona": one.persona_id,
            "before": _number(one.confidence_before),
            "after": _number(one.confidence_after),
            "change": _number(one.confidence_delta, signed=True),
            "blocking": f"{one.blocking_before or 0} -> {one.blocking_after or 0}",
            "reused": "yes" if one.reused else "no",
        }
        for one in found.personas
    ]
    typer.echo()
    print_table(rows, ("persona", "before", "after", "change", "blocking", "reused"))
    for section in found.sections:
        if section.change.value != "unchanged":
            typer.echo(f"\n{section.section}: {section.change.value}")
            for line in section.diff:
                typer.echo(f"  {text_of(line)}")
            if section.cut:
                typer.echo("  (there is more)")


_RELATIONS: Final = {
    "parent": "the parent of",
    "child": "a revision of",
    "unrelated": "no relation of",
}


def _number(value: float | None, *, signed: bool = False) -> str:
    if value is None:
        return ""
    return f"{value:+.4g}" if signed else f"{value:.4g}"
