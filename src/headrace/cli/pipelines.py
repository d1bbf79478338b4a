"""`headrace pipelines`: what was registered, and whether the code fits the jobs that live."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from headrace.cli.asking import ask
from headrace.cli.exits import ExitCode
from headrace.cli.options import Api, App, Queues
from headrace.cli.output import Json, print_json, print_table, text_of
from headrace.cli.running import run_async

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.app import Headrace
    from headrace.cli.stranding import Findings
    from headrace.store.reads import RegisteredPipeline

AT_ONCE: Final = 2_000
"""Jobs that are checked within about a second."""

group = typer.Typer(help="Look at pipelines, and check a new version.", rich_markup_mode=None)


@group.command("list")
def list_(api: Api = None, as_json: Json = False) -> None:
    """List every version that a worker or a submission registered."""
    pipelines = ask(lambda app: app.list_pipelines(), api)
    if as_json:
        print_json(pipelines)
        return
    rows = [
        {
            "pipeline": known.name,
            "version": known.version,
            "queues": known.queues,
            "steps": [step["name"] for step in known.definition["steps"]],
            "hash": known.hash,
            "registered_at": known.registered_at,
        }
        for known in pipelines
    ]
    print_table(rows, ("pipeline", "version", "queues", "steps", "hash", "registered_at"))


@group.command()
def show(
    name: Annotated[str, typer.Argument(metavar="PIPELINE", help="Its name.")],
    version: Annotated[
        str | None, typer.Option("--version", help="The newest if left out.")
    ] = None,
    api: Api = None,
    as_json: Json = False,
) -> None:
    """Show a registered definition: its steps and what they need."""
    known = _find(ask(lambda app: app.list_pipelines(), api), name, version)
    if as_json:
        print_json(known)
        return
    typer.echo(f"{known.name} {known.version}  registered {text_of(known.registered_at)}")
    rows = [
        {
            "step": step["name"],
            "needs": step.get("needs"),  # an API tells less
            "waits_for": _waits_of(step),
            "per_item": "yes" if step.get("each") else "",
            "attempts": step.get("attempts"),
            "timeout": None if step.get("timeout_s") is None else f"{step['timeout_s']:g} s",
            "was": step.get("was"),
        }
        for step in known.definition["steps"]
    ]
    columns = ("step", "needs", "waits_for", "per_item", "attempts", "timeout", "was")
    waits = any(row["waits_for"] for row in rows)
    print_table(rows, [name for name in columns if waits or name != "waits_for"])
    signals = known.definition.get("signals")  # earlier releases registered none
    if signals:
        typer.echo()
        print_table([_signal_row(signal) for signal in signals], ("signal", "type", "within", "or"))


def _waits_of(step: Mapping[str, Any]) -> list[str]:
    """What a step waits for besides its inputs."""
    waits = [f"signal {name}" for name in step.get("signals") or ()]
    if step.get("delay_s"):
        waits.append(f"{step['delay_s']:g} s")
    if step.get("has_child"):
        waits.append("child job")
    return waits


def _signal_row(signal: Mapping[str, Any]) -> dict[str, object]:
    return {
        "signal": signal["name"],
        "type": _type_in(signal["schema"]),
        "within": f"{signal['timeout_s']:g} s",
        "or": "goes on without" if signal["may_lack"] else "fails",
    }


def _type_in(schema: Mapping[str, Any]) -> str:
    """What a JSON schema is about, in a word or two."""
    named = schema.get("title") or str(schema.get("$ref", "")).rpartition("/")[2]
    return str(named or schema.get("type") or "see --json")


def _find(
    pipelines: list[RegisteredPipeline], name: str, version: str | None
) -> RegisteredPipeline:
    from headrace.errors import PipelineNotFoundError

    for known in pipelines:
        if known.name == name and version in {None, known.version}:
            return known
    wanted = name if version is None else f"{name} {version}"
    raise PipelineNotFoundError(wanted, [known.name for known in pipelines])


@group.command()
def check(app: App = None, queues: Queues = None, as_json: Json = False) -> None:
    """Tell which live jobs this code could not go on with, before it is deployed."""
    from headrace.cli.loading import load_app

    findings = run_async(_check(load_app(app), queues))
    stranded = list(findings.stranded.values())
    if as_json:
        print_json({"checked": findings.seen, "stranded": stranded})
    elif stranded:
        print_table([_row(found) for found in stranded], ("jobs", "pipeline", "example", "problem"))
    else:
        typer.echo(f"{findings.seen} live jobs: this code can go on with all of them")
    if stranded:
        raise typer.Exit(ExitCode.CHECK_FAILED)


def _row(found: Any) -> dict[str, object]:  # noqa: ANN401 - a Stranded, whose module is not loaded
    problem = found.problem
    return {
        "jobs": found.jobs,
        "pipeline": f"{problem.pipeline} {problem.version}",
        "problem": problem.text,
        "example": found.example,
    }


async def _check(app: Headrace, queues: str | None) -> Findings:
    from headrace.cli.database import open_connection
    from headrace.cli.progress import progress
    from headrace.cli.stranding import Findings
    from headrace.store.live import count_live, live_jobs

    served = [name.strip() for name in queues.split(",")] if queues else app.settings.queues
    findings = Findings(app.pipelines, frozenset(served))
    async with open_connection(app.settings) as connection:
        total = await count_live(connection)
        with progress("checking", total, shown=total > AT_ONCE) as advance:
            async for page in live_jobs(connection):
                for job in page:
                    findings.look_at(job)
                advance(len(page))
    return findings
