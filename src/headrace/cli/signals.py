"""`headrace jobs send` and `jobs signals`: values for jobs that wait for them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from headrace.cli.asking import actor, ask
from headrace.cli.exits import ExitCode
from headrace.cli.options import Api, AppOption
from headrace.cli.output import Json, print_json, print_table, text_of
from headrace.cli.running import run_async

if TYPE_CHECKING:
    from headrace.model.fate import Fate
    from headrace.model.status import SignalInfo

JobId = Annotated[str, typer.Argument(metavar="JOB", help="Id of a job.")]
MOST_SHOWN: Final = 60


def send(
    job: JobId,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Of a signal: headrace jobs signals lists them.")
    ],
    value: Annotated[
        str,
        typer.Argument(
            metavar="VALUE",
            help="The value: JSON, a FILE or @FILE that holds it, or - for stdin. A text is "
            "written with its quotes.",
        ),
    ],
    *,
    app: AppOption = None,
    sender: Annotated[
        str | None,
        typer.Option("--actor", metavar="WHO", help="Who sends it, kept with it; you if left out."),
    ] = None,
    api: Api = None,
    as_json: Json = False,
) -> None:
    """Send a value to a job whose step waits for it, or will do so; the first value stands."""
    from headrace.cli.parsing import read_text
    from headrace.cli.remote import check_alone

    check_alone(api, app)
    text = read_text("VALUE", value)
    if api is None:
        fate = run_async(_send(app, job, name, text, sender or actor()))
    else:
        fate = run_async(_send_to(api, job, name, text, sender))
    if as_json:
        print_json({"job": job, "signal": name, "fate": fate})
    else:
        typer.echo(f"{job} {_words(name, fate)}", err=not fate.stands)
    if not fate.stands:
        raise typer.Exit(ExitCode.CONFLICT)


async def _send(app: str | None, job: str, name: str, text: str, sender: str) -> Fate:
    from headrace.app import Headrace
    from headrace.cli.shipped import load_app_for

    async with Headrace(pipelines=[]) as looked:
        pipeline = (await looked.status(job)).pipeline
    async with load_app_for(app, pipeline) as loaded:
        signal = loaded.pipeline(pipeline).signals.get(name)
        # One that is unknown is refused by its name, whatever the value is.
        value = None if signal is None else _decode(name, text, signal.codec)
        return await loaded.send_signal(job, name, value, actor=sender)


async def _send_to(api: str, job: str, name: str, text: str, sender: str | None) -> Fate:
    from headrace.cli.remote import refuse_local, remote_app

    refuse_local({"--actor": sender})
    value = _load(name, text)
    async with remote_app(api) as app:
        return await app.client.send_signal(job, name, value)


def _decode(name: str, text: str, codec: Any) -> Any:  # noqa: ANN401 - a user's value
    from headrace.errors import CodecError, InputError

    _load(name, text)
    try:
        return codec.decode(text)
    except CodecError as error:
        raise InputError(name, error.problems) from error


def _load(name: str, text: str) -> Any:  # noqa: ANN401 - JSON
    from headrace.errors import InputError, Problem

    try:
        return json.loads(text)
    except ValueError as error:
        said = f"it is no JSON: {error}"
        if not text.strip().startswith(("{", "[", '"')):
            quoted = json.dumps(text.strip()[:MOST_SHOWN], ensure_ascii=False)
            said += f"; a text is written with its quotes, in a shell as '{quoted}'"
        raise InputError(name, [Problem("$", said)]) from error


def _words(name: str, fate: Fate) -> str:
    return {
        "stored": f"{name} is stored",
        "same": f"{name} stood already, with this value",
        "other": f"{name} is not stored: another value stands (headrace jobs signals)",
        "late": f"{name} is not stored: its time was over",
    }[fate]


def signals(job: JobId, api: Api = None, as_json: Json = False) -> None:
    """List what can be sent to a job, what its steps wait for, and what came."""
    found = ask(lambda app: app.list_signals(job), api)
    if as_json:
        print_json(found)
        return
    print_table(
        [_row(one) for one in found],
        ("signal", "state", "steps", "until", "at", "by", "value"),
        empty="its pipeline takes no signals",
    )


def _row(one: SignalInfo) -> dict[str, object]:
    untils = [step.until for step in one.awaited if step.until]
    value = None
    if one.state == "received":
        value = text_of(json.dumps(one.value, ensure_ascii=False))
        if len(value) > MOST_SHOWN:
            value = f"{value[: MOST_SHOWN - 3]}..."
    return {
        "signal": one.signal,
        "state": one.state,
        "steps": [step.step for step in one.awaited],
        "until": min(untils, default=None),
        "at": one.received_at,
        "by": one.sent_by,
        "value": value,
    }
