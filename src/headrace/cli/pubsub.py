"""`headrace pubsub`: topics and subscriptions of Google Cloud Pub/Sub."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Final

import typer

from headrace.cli.exits import ExitCode
from headrace.cli.output import Json, print_json, print_table
from headrace.cli.running import run_async
from headrace.errors import InvalidError

if TYPE_CHECKING:
    from headrace.broker.setup import Found
    from headrace.store.outbox import TopicKind

group = typer.Typer(help="Google Cloud Pub/Sub.", rich_markup_mode=None, no_args_is_help=True)

TOPIC_KINDS: Final[tuple[TopicKind, ...]] = ("results", "dead-letters")


@group.callback()
def _pubsub() -> None:
    """Google Cloud Pub/Sub."""  # with a callback, a group of one command stays a group


@group.command()
def setup(
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit code 1 where something differs.")
    ] = False,
    filtered: Annotated[
        bool,
        typer.Option(
            "--filtered",
            help="Two subscriptions for workers in place of one: doorbells, and submitted jobs.",
        ),
    ] = False,
    publish: Annotated[
        bool | None,
        typer.Option(
            "--publish/--no-publish",
            help="Publish results and dead letters from now on, or no more; as it is if left out.",
            show_default=False,
        ),
    ] = None,
    push_endpoint: Annotated[
        str | None,
        typer.Option(
            help="Address of a service that is to be woken by requests; makes a subscription that "
            "sends them there.",
            show_default=False,
        ),
    ] = None,
    push_account: Annotated[
        str | None,
        typer.Option(help="Service account that signs these requests.", show_default=False),
    ] = None,
    push_audience: Annotated[
        str | None,
        typer.Option(help="Audience of the signature; the address itself if left out."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make the topics and subscriptions of the settings, and tell what is not as it should be.

    What is there is changed to what it should be, and never deleted.
    """
    push = _push_of(push_endpoint, push_account, push_audience)
    found = run_async(_set_up(check=check, filtered=filtered, push=push))
    if publish is not None and not check:
        run_async(_publish(on=publish))
    if as_json:
        print_json([asdict(one) for one in found])
    else:
        print_table([_row(one) for one in found], ("kind", "name", "state", "differences"))
    if any(one.is_drift for one in found):
        raise typer.Exit(ExitCode.CHECK_FAILED)


def _row(found: Found) -> dict[str, object]:
    return {**asdict(found), "differences": "; ".join(found.differences)}


def _push_of(
    endpoint: str | None, account: str | None, audience: str | None
) -> tuple[str, str, str] | None:
    if endpoint is None and account is None and audience is None:
        return None
    if endpoint is None or account is None:
        raise InvalidError("--push-endpoint and --push-account belong together; give both")
    return endpoint, account, audience or endpoint


async def _set_up(*, check: bool, filtered: bool, push: tuple[str, str, str] | None) -> list[Found]:
    from headrace.settings import load_settings
    from headrace.wiring import set_up_messaging

    return await set_up_messaging(load_settings(), check=check, filtered=filtered, push=push)


async def _publish(*, on: bool) -> None:
    """Have messages written for the topics, or not."""
    from headrace.app import Headrace
    from headrace.store.outbox import set_topic

    async with Headrace(pipelines=[]) as app, app.connection() as connection:
        settings = app.settings
        names = (settings.pubsub_results_topic, settings.pubsub_dead_letters_topic)
        for kind, name in zip(TOPIC_KINDS, names, strict=True):
            await set_topic(connection, kind, name if on else None)
